"""A request as the relay reads it: its query, and the few headers that matter.

Values of a query are decoded once, as an HTML form's; of a name that comes twice the first counts, for
whoever asks. Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote_plus

from vwo_celery.relay.rules.answers import OTHER_KEY, Refused

_HEADERS = frozenset(
    (
        b"authorization", b"content-encoding", b"content-type", b"origin", b"user-agent",
        b"vwo-x-forwarded-for", b"x-device-user-agent", b"x-forwarded-for",
    )
)  # fmt: skip


class Request:
    """One request, without its connection.

    Attributes:
        scope: As ASGI hands it over.
        method: HTTP method.
        path: Decoded path, below the place where the app is mounted.
        raw_query: Query as it came, without the question mark.
        headers: Headers that matter, by name in lower case.
        body: The body as it came.
    """

    def __init__(self, scope: Mapping[str, Any], body: bytes, prefix: str = "") -> None:
        self.scope = scope
        self.method: str = scope["method"]
        root: str = scope.get("root_path", "")
        path: str = scope["path"]
        self.path = _below(path, root, prefix) if root or prefix else path
        self.raw_query: bytes = scope["query_string"]
        self.headers = {name: value for name, value in scope["headers"] if name in _HEADERS}
        self.body = body

    @cached_property
    def query(self) -> dict[str, str]:
        """Names and decoded values of the query."""
        found: dict[str, str] = {}
        for pair in self.raw_query.split(b"&"):
            name, _, value = pair.partition(b"=")
            found.setdefault(_decoded(name), _decoded(value))
        return found

    def raw_value(self, name: bytes) -> bytes:
        """The value of a name as it came; b"" if the query lacks it."""
        for pair in self.raw_query.split(b"&"):
            each, _, value = pair.partition(b"=")
            if each == name:
                return value
        return b""

    def header(self, name: bytes) -> str:
        """A header's value; "" if there is none."""
        value: bytes = self.headers.get(name, b"")
        return value.decode("latin-1").strip()

    def texts(self) -> dict[str, str]:
        """All headers as texts, their names in small letters; of several of a name, the last."""
        headers = self.scope["headers"]
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}

    def key(self) -> str:
        """The SDK key that query and `Authorization` name; "" if neither does.

        Raises:
            Refused: They name different ones; or Android's SDK, which names it a second time, does.
        """
        key = self.query.get("env", "") or self.header(b"authorization")
        for again in (self.header(b"authorization"), self.query.get("i", "")):
            if again and again != key:
                raise Refused(OTHER_KEY)
        return key


def _below(path: str, root_path: str, prefix: str) -> str:
    """A path without the prefixes under which an app is mounted."""
    for each in (root_path.rstrip("/"), prefix):
        if each and path.startswith(f"{each}/"):
            path = path[len(each) :]
    return path


def _decoded(value: bytes) -> str:
    text = value.decode("latin-1")
    return unquote_plus(text) if "%" in text or "+" in text else text
