"""A request and its response, as plain values: whatever serves the console, it sees only these.

Doors (`console/doors`, Django's view) make the one and send the other. Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from vwo_celery.console.shared.refusals import Refusal

#: Most bytes of a request's body; doors read no more than one byte beyond it.
MOST_BODY_BYTES: Final = 1_000_000
#: Statuses of which a length would speak of the body that is left out.
WITHOUT_LENGTH: Final = frozenset({304})
#: Most fields of a query or a form.
_MOST_FIELDS: Final = 1_000
_FORM: Final = "application/x-www-form-urlencoded"
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Request(msgspec.Struct, frozen=True):
    """One request.

    Attributes:
        method: In capitals, such as "GET".
        path: Decoded, below the place where the console is mounted: "/" for the first page, and "" where
            that place was asked for without its slash.
        prefix: Where the console is mounted, as the server sees it: "" or "/ops/vwo". No link needs it,
            since all links are relative.
        query: The query, undecoded.
        headers: By their names in small letters; of one that came twice, both values, joined by ", ".
        body: The body; as far as MOST_BODY_BYTES + 1.
        remote: Address of the client, "" if it is not known.
        scheme: "http" or "https", as the server sees it.
        http_version: "1.0", "1.1" or "2" as the server was spoken to; "" if the door does not tell.
        native: What the door was given: a WSGI environ, an ASGI scope, Django's request.
        form_fields: Hidden fields that each form of a page must hold, such as Django's token.
    """

    method: str
    path: str
    prefix: str = ""
    query: str = ""
    headers: Mapping[str, str] = _NOTHING
    body: bytes = b""
    remote: str = ""
    scheme: str = "http"
    http_version: str = ""
    native: Any = None
    form_fields: tuple[tuple[str, str], ...] = ()

    @property
    def host(self) -> str:
        """The header Host: a name or an address, and perhaps a port."""
        return self.headers.get("host", "")

    @property
    def is_safe(self) -> bool:
        """Whether it only looks."""
        return self.method in ("GET", "HEAD")

    def fields(self) -> dict[str, list[str]]:
        """The query's fields, each with its values.

        Raises:
            Refusal: There are too many.
        """
        return _fields(self.query)

    def form(self) -> dict[str, list[str]]:
        """The body's fields, of a form that was sent.

        Raises:
            Refusal: It is no form, or there are too many.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _FORM:  # no order: one without fields may mean everything
            raise Refusal(415, f"a form is sent as {_FORM}; nothing was changed")
        return _fields(self.body.decode("utf-8", "replace"))


def _fields(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS)
    except ValueError as exc:
        raise Refusal(400, f"a request may have {_MOST_FIELDS:,} fields at most") from exc


class Response(msgspec.Struct, frozen=True):
    """One response.

    Attributes:
        status: HTTP status.
        headers: Names and values, in order.
        body: The body; for HEAD, doors leave it out.
    """

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


class Page(msgspec.Struct, frozen=True):
    """What stands between the head and the foot of a page; the frame around it is the door's.

    Attributes:
        title: Plain text for the title.
        html: The main part. Everything from outside in it is escaped.
        status: HTTP status.
        here: The path of the entry of the navigation that it belongs to.
    """

    title: str
    html: str
    status: int = 200
    here: str = ""


class Last(msgspec.Struct, frozen=True):
    """A page as it was when it could last be made.

    Attributes:
        page: The page.
        age_seconds: Time since then.
    """

    page: Page
    age_seconds: float


def redirect(to: str) -> Response:
    """See another page of ours next; *to* is relative to the page that was asked for."""
    return Response(303, (("Location", to),))


def text_response(status: int, text: str) -> Response:
    """A line of plain text."""
    return Response(status, (("Content-Type", "text/plain; charset=utf-8"),), f"{text}\n".encode())


def json_response(document: Any, status: int = 200) -> Response:
    """A JSON document, indented."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    return Response(status, (("Content-Type", "application/json"),), text)
