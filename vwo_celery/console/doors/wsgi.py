"""The console as a WSGI app. Nothing to lose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from vwo_celery.console.shared.exchange import (
    MOST_BODY_BYTES,
    WITHOUT_LENGTH,
    Request,
    Response,
)

#: Headers that WSGI spells without HTTP_.
_BARE = ("CONTENT_TYPE", "CONTENT_LENGTH")


def wsgi_app(respond: Callable[[Request], Response]) -> Callable[..., Iterable[bytes]]:
    """A WSGI app that answers with *respond*, below whatever path it is mounted at."""

    def app(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = respond(request_of(environ))
        headers = [*response.headers]
        if response.status not in WITHOUT_LENGTH:
            headers.append(("Content-Length", str(len(response.body))))
        start_response(f"{response.status} {_phrase(response.status)}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    return app


def request_of(environ: Mapping[str, Any]) -> Request:
    """The request of a WSGI environ."""
    headers = {
        (name if name in _BARE else name[5:]).replace("_", "-").lower(): value
        for name, value in environ.items()
        if name in _BARE or name.startswith("HTTP_")
    }
    return Request(
        method=environ["REQUEST_METHOD"],
        path=_text(environ.get("PATH_INFO", "")),
        prefix=_text(environ.get("SCRIPT_NAME", "")),
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        body=_body(environ),
        remote=environ.get("REMOTE_ADDR", ""),
        scheme=environ.get("wsgi.url_scheme", "http"),
        native=environ,
    )


def _text(path: str) -> str:
    """A path as PEP 3333 gives it: each letter stands for a byte."""
    return path.encode("latin-1").decode("utf-8", "replace")


def _body(environ: Mapping[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    wanted = min(int(length), MOST_BODY_BYTES + 1) if length.isdecimal() else 0
    body: bytes = environ["wsgi.input"].read(wanted) if wanted else b""
    return body


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
