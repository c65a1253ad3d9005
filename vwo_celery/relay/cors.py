"""Answers to browsers of other origins, where an operator has allowed some.

Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vwo_celery.relay.reading.request import Request
from vwo_celery.relay.rules.answers import Headers

#: Stands for every origin.
ANY_ORIGIN: Final = "*"
#: How long a browser may remember the answer to a preflight request, in seconds.
_REMEMBER: Final = b"600"
_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", _REMEMBER),
)


class Cors:
    """The origins whose pages may send.

    Args:
        origins: Such as "https://shop.example"; "*" for every one.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)

    def __bool__(self) -> bool:
        return bool(self._origins)

    def headers(self, request: Request) -> Headers:
        """Headers that let the page of a request read its answer; none for another origin."""
        origin = request.headers.get(b"origin", b"")
        if not origin or not self._allows(origin.decode("latin-1")):
            return ()
        more = _PREFLIGHT if request.method == "OPTIONS" else ()
        return ((b"access-control-allow-origin", origin), (b"vary", b"origin"), *more)

    def _allows(self, origin: str) -> bool:
        return ANY_ORIGIN in self._origins or origin.lower() in self._origins
