"""The operator's console in a browser: what is stuck, since when, why, and what to do about it.

Beside an event's way. `wsgi` and `asgi` make an app to mount in your own; `vwo-celery web` serves it
alone; Django's admin has a page of its own. Rooms, in reading order: `shared` (requests, rights,
visits), `doors` (WSGI, ASGI), `access` (who may come in), `actions` (what changes), `pages` (what is
shown), `api` (the same for programs). `console` puts them together; `memory` keeps pages for the time
that Redis is away, `serving` is the server of `vwo-celery web`. A process that only enqueues never
imports it. If it dies, nothing is lost: the numbers stand in Redis.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from vwo_celery.console.access.headers import guarded
from vwo_celery.console.actions import Change
from vwo_celery.console.console import Authorise, Console
from vwo_celery.console.doors.asgi import asgi_app
from vwo_celery.console.doors.wsgi import wsgi_app
from vwo_celery.console.shared.exchange import Page, Request, Response
from vwo_celery.console.shared.rights import ROLES, Right, Visitor
from vwo_celery.settings import Settings

__all__ = [
    "ROLES", "Authorise", "Change", "Console", "Page", "Request", "Response", "Right", "Visitor",
    "asgi", "guarded", "wsgi",
]  # fmt: skip


def _nobody(_: Request) -> None:
    """Let nobody in: whoever mounts a console has to say who may."""
    return


def wsgi(
    authorise: Authorise = _nobody, *, settings: Settings | None = None, app: Any = ""
) -> Callable[..., Iterable[bytes]]:
    """The console as a WSGI app, to be mounted anywhere below your own.

    Args:
        authorise: Says who a request comes from: a `Visitor`, the name of a role ("viewer", "peek",
            "operator" or "purge"), or None for nobody. Without it, nobody may come in. Its argument's
            `native` is the WSGI environ.
        settings: A worker's; by default those of Django and the environment.
        app: Your Celery app, or its name as `celery -A` takes it, if workers do not run
            `vwo_celery.celery.app`.

    Raises:
        SettingsError: A setting is wrong.
    """
    return wsgi_app(Console(settings or Settings.load(), authorise, app=app).respond)


def asgi(
    authorise: Authorise = _nobody, *, settings: Settings | None = None, app: Any = ""
) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """The console as an ASGI app; as `wsgi`, but that `native` is the ASGI scope."""
    return asgi_app(Console(settings or Settings.load(), authorise, app=app).respond)
