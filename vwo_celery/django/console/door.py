"""The door to the console for Django's requests: one console a process, made when it is first asked.

A page that Redis' absence makes the console show again may have been somebody else's, so a page holds a
mark in place of the token, and gets each visitor's own token on its way out. Nothing to lose.
"""

from __future__ import annotations

import functools
import secrets
from typing import Final

from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.utils.safestring import SafeString

from vwo_celery.console import Console, Page, Request, Response
from vwo_celery.console.pages import body
from vwo_celery.console.shared.visits import Visit
from vwo_celery.django.console.access import visitor_of
from vwo_celery.django.console.history import note
from vwo_celery.settings import Settings

#: Stands in pages where a visitor's token belongs. Nobody outside of this process can know it.
_MARK: Final = secrets.token_hex(32)


@functools.lru_cache(maxsize=4)
def _console(settings: Settings, app: str) -> Console:
    return Console(settings, visitor_of, door="django", checks_origin=False, app=app, changed=note)


def console() -> Console:
    """The console of the settings that hold now.

    Raises:
        SettingsError: A setting of VWO_CELERY or of the environment is wrong.
    """
    return _console(Settings.load(), getattr(django_settings, "VWO_CELERY_APP", ""))


def request_of(request: HttpRequest, path: str) -> Request:
    """The console's request; *path* is what stands behind the slash of the place where it is mounted."""
    whole = request.path
    return Request(
        method=request.method,
        path=f"/{path}",
        prefix=whole[: len(whole) - len(path)].rstrip("/"),
        query=request.META.get("QUERY_STRING", ""),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.body,
        remote=request.META.get("REMOTE_ADDR", ""),
        scheme=request.scheme,
        native=request,
        form_fields=(("csrfmiddlewaretoken", _MARK),),
    )


def send(request: HttpRequest, response: Response) -> HttpResponse:
    """Django's response, with the visitor's token in its forms."""
    body = response.body
    if _MARK.encode() in body:
        body = body.replace(_MARK.encode(), get_token(request).encode())
    sent = HttpResponse(body, status=response.status)
    del sent["Content-Type"]  # the console says what it is
    for name, value in response.headers:
        sent[name] = value
    return sent


def main_part(request: HttpRequest, visit: Visit | None, page: Page) -> SafeString:
    """A page without head and foot, with the visitor's token in its forms; the console escaped it."""
    html = body(visit, page)
    return SafeString(html.replace(_MARK, get_token(request)) if _MARK in html else html)


def wants_part(request: Request) -> bool:
    """Whether our own script asks, which puts a page's main part in place of the one that it shows."""
    return request.headers.get("x-part") == "main"


def nonce_of(request: HttpRequest) -> str:
    """The nonce that the project's Content-Security-Policy may demand; "" if it makes none.

    Django 6 and django-csp keep it in the request, and make it when it is first read.
    """
    kept = [getattr(request, name, None) for name in ("_csp_nonce", "csp_nonce")]
    return next((str(nonce) for nonce in kept if nonce is not None), "")
