"""What FME SDKs ask VWO's gateway: passed on as it came, where an operator has named a gateway.

Beside an event's way, for segments and aliases. Nothing is kept. Only these paths go on, so that the
relay is no way to any other; those about visitors of an account need an account and key that may send. If
the process dies, an SDK goes on without the answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vwo_celery.relay.reading.paths import GATEWAY_OF_ACCOUNTS, KnownPath
from vwo_celery.relay.reading.request import Request
from vwo_celery.relay.rules.access import Access
from vwo_celery.relay.rules.answers import (
    NO_GATEWAY,
    NOT_FORWARDABLE,
    TOO_BUSY,
    UNKNOWN_KEY,
    UNKNOWN_PATH,
    Answer,
    Refused,
    passed_on,
)
from vwo_celery.relay.telling.counts import counted
from vwo_celery.sending.wanted import Fetched, Wanted
from vwo_celery.threads import in_thread

if TYPE_CHECKING:
    from vwo_celery.sending.fetching import Fetcher

#: Longest time of one request to the gateway: an SDK waits for it before it decides on a flag.
GATEWAY_SECONDS: Final = 2.0
#: Most bytes of an answer.
_MOST_BYTES: Final = 1_000_000
#: Most requests of this process at a time.
_MOST_REQUESTS: Final = 64
#: Headers that go on as they came.
_HEADERS: Final = {
    b"user-agent": "User-Agent",
    b"content-type": "Content-Type",
    b"content-encoding": "Content-Encoding",
    b"x-device-user-agent": "X-Device-User-Agent",
    b"vwo-x-forwarded-for": "VWO-X-Forwarded-For",
}
_QUERY: Final = re.compile(r"[!-~]*")
_FIRST_REDIRECT, _FIRST_REFUSAL = 300, 400


class Gateway:
    """The way to a gateway.

    Args:
        upstream: Its URL; "" for none.
        access: Who may ask about visitors of an account.
    """

    def __init__(self, upstream: str, access: Access) -> None:
        self._upstream = upstream.rstrip("/")
        self._access = access
        self._fetcher: Fetcher | None = None
        self._under_way = 0

    async def answer(self, request: Request, known: KnownPath) -> Answer:
        """Ask the gateway what was asked.

        Raises:
            Refused: No gateway is named, the account or key may not ask, the query cannot be sent on, or
                there is too much to do.
        """
        if not self._upstream:
            raise Refused(UNKNOWN_PATH)
        wanted = self._wanted(request, known)
        if self._under_way >= _MOST_REQUESTS:
            raise Refused(TOO_BUSY)
        self._under_way += 1
        try:
            fetched = await in_thread(self._fetch, wanted)
        finally:
            self._under_way -= 1
        return _answer(fetched)

    def _fetch(self, wanted: Wanted) -> Fetched:
        # Here, since requests takes a tenth of a second to load, and most relays never need it.
        from vwo_celery.sending.fetching import Fetcher

        if self._fetcher is None:  # threads that come at once may each make one
            self._fetcher = Fetcher(timeout_seconds=GATEWAY_SECONDS, most_bytes=_MOST_BYTES)
        return self._fetcher.fetch(wanted)

    def close(self) -> None:
        """Close the idle connections."""
        if self._fetcher is not None:
            self._fetcher.close()

    def _wanted(self, request: Request, known: KnownPath) -> Wanted:
        query = request.raw_query.decode("latin-1")
        if not _QUERY.fullmatch(query):
            raise Refused(NOT_FORWARDABLE)
        account, key = request.query.get("accountId", ""), request.query.get("sdkKey", "")
        is_of_account = known.path in GATEWAY_OF_ACCOUNTS or account or key
        if is_of_account and not self._access.allows(account, key):
            raise Refused(UNKNOWN_KEY)
        region = f"/{known.region}" if known.region else ""
        return Wanted(
            origin=self._upstream,
            path=f"{region}{known.path}",
            query=query,
            key=key,
            method=request.method,
            headers=_headers(request),
            body=request.body if request.method == "POST" else None,
        )


def _headers(request: Request) -> dict[str, str]:
    """The headers that go on, with the client's address after those of proxies in front."""
    headers = {
        name: request.header(given) for given, name in _HEADERS.items() if given in request.headers
    }
    client = request.scope.get("client")
    addresses = [request.header(b"x-forwarded-for"), client[0] if client else ""]
    return {**headers, "X-Forwarded-For": ", ".join(filter(None, addresses))}


def _answer(fetched: Fetched) -> Answer:
    status = fetched.status
    if status is None or _FIRST_REDIRECT <= status < _FIRST_REFUSAL:
        counted.gateway["failed"] += 1
        return NO_GATEWAY
    counted.gateway["answered"] += 1
    return passed_on(status, fetched.content_type, fetched.body)
