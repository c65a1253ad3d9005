"""The door to the console for Django's requests: one console a process, made when it is first asked.

A page that Redis' absence makes the console show again may have been somebody else's, so a page holds a
mark in place of the token, and gets each visitor's own token on its way out. Nothing to lose.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from typing import Final, NamedTuple

from django.conf import settings as django_settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, RawPostDataException
from django.middleware.csrf import get_token
from django.utils.safestring import SafeString

from vwo_celery.console import Console, Request, Response, guarded
from vwo_celery.console.pages import body
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
        body=_body(request),
        remote=request.META.get("REMOTE_ADDR", ""),
        scheme=request.scheme,
        native=request,
        form_fields=(("csrfmiddlewaretoken", _MARK),),
    )


def _body(request: HttpRequest) -> bytes:
    """The body, as far as Django lets us have it.

    Raises:
        BadRequest: It came as files do, and the check of the token has used it up.
    """
    try:
        return bytes(request.body)
    except RawPostDataException as exc:
        raise BadRequest("a form of the console is not sent as multipart/form-data") from exc


def send(request: HttpRequest, response: Response) -> HttpResponse:
    """Django's response, with the visitor's token in its forms."""
    content = response.body
    if _MARK.encode() in content:
        content = content.replace(_MARK.encode(), get_token(request).encode())
    sent = HttpResponse(content, status=response.status)
    del sent["Content-Type"]  # the console says what it is
    for name, value in response.headers:
        sent[name] = value
    return sent


class Found(NamedTuple):
    """A page to be put between the admin's head and foot.

    Attributes:
        context: What the template shows.
        status: HTTP status.
        tag: Changes when the page does; "" for a page that is not asked for again.
    """

    context: dict[str, object]
    status: int
    tag: str


def answer(request: HttpRequest, path: str) -> Found | HttpResponse:
    """The console's page for the admin; a response where it needs no frame, or is known already."""
    visit, answered = console().answer(request_of(request, path))
    if isinstance(answered, Response):
        return send(request, guarded(answered))
    html = body(visit, answered)
    tag = _tag_of(html) if answered.status == 200 and request.method in ("GET", "HEAD") else ""
    if tag and request.headers.get("If-None-Match") == tag:
        return HttpResponse(status=304, headers={"ETag": tag})
    context = {
        "title": answered.title,
        "root": visit.root if visit else "",
        "main": SafeString(html.replace(_MARK, get_token(request))),  # the console has escaped it
        "nonce": nonce_of(request),
    }
    return Found(context, answered.status, tag)


def _tag_of(html: str) -> str:
    return f'"{hashlib.blake2b(html.encode(), digest_size=12).hexdigest()}"'


def nonce_of(request: HttpRequest) -> str:
    """The nonce that the project's Content-Security-Policy may demand; "" if it makes none.

    Django 6 and django-csp keep it in the request, and make it when it is first read.
    """
    kept = [getattr(request, name, None) for name in ("_csp_nonce", "csp_nonce")]
    return next((str(nonce) for nonce in kept if nonce is not None), "")
