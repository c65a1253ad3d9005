"""A Django project with the console in its admin, under a strict policy; argument: its port.

EXTRA_PATH leads to the release of Django, FOLDER holds its database. Prints a session of each role.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

sys.path[:0] = [*filter(None, [os.environ["EXTRA_PATH"]]), str(Path(__file__).parents[2])]

import django  # noqa: E402
from django.conf import settings  # noqa: E402

from tools.django_settings import options  # noqa: E402

POLICY = {
    "default-src": ["'none'"],
    **{f"{each}-src": ["'self'"] for each in ("style", "script", "img", "connect", "font")},
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
    "base-uri": ["'none'"],
}
#: The permissions of each role.
ROLES = {
    "viewer": ["view"],
    "peek": ["view", "peek"],
    "operator": ["view", "peek", "operate"],
    "purge": ["view", "peek", "operate", "purge"],
}


def strictly(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware for releases of Django that have none for a Content-Security-Policy."""

    def middleware(request: Any) -> Any:
        response = get_response(request)
        text = "; ".join(f"{name} {' '.join(values)}" for name, values in POLICY.items())
        response.headers.setdefault("Content-Security-Policy", text)
        return response

    return middleware


class Server(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread of its own."""

    daemon_threads = True
    request_queue_size = 100


class Quiet(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def configure() -> None:
    """Give Django its settings; the policy by its own middleware, where the release has one."""
    chosen = options(Path(os.environ["FOLDER"]))
    own = django.VERSION >= (6, 0)
    middleware = "django.middleware.csp.ContentSecurityPolicyMiddleware"
    chosen["MIDDLEWARE"] += [middleware if own else f"{__name__}.strictly"]
    settings.configure(**chosen, SECURE_CSP=POLICY)
    django.setup()


def sessions() -> dict[str, str]:
    """A session of a member of the staff for each role."""
    from django.contrib.auth.models import Permission, User
    from django.test import Client

    found = {}
    for role, names in ROLES.items():
        user, _ = User.objects.get_or_create(username=role, defaults={"is_staff": True})
        codenames = [f"{name}_eventqueue" for name in names]
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        found[role] = client.cookies["sessionid"].value
    return found


def main(port: int) -> None:
    """Make the database, tell the sessions, and serve until the program is ended."""
    configure()
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    call_command("migrate", verbosity=0)
    print(f"sessions: {json.dumps(sessions())}", flush=True)
    app = StaticFilesHandler(get_wsgi_application())
    make_server("127.0.0.1", port, app, server_class=Server, handler_class=Quiet).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
