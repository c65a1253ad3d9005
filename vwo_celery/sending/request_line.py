"""The SDK key in the request line: written by the connection itself, beneath all that records URLs.

Stage 4 of an event's way, under the sender. VWO wants the key in the query. Error trackers and tracers
(Sentry, OpenTelemetry, agents of APM vendors) and urllib3's log record the URL of each request where
they hook in: at urllib3's pool or at `putrequest` of http.client. So the request that is made has a
stand-in for the key, and the line that leaves has the key, which the request carries in the header
that VWO wants it in, too. A single request has its query in a header meanwhile, which urllib3 would
spell anew in a URL. No state; nothing to lose.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote_plus

from urllib3.connection import HTTPConnection

from vwo_celery.events.envelopes import KEY_MARK
from vwo_celery.text.masking import mask

_KEY_HEADER: Final = "Authorization"
#: Header of a single request that does not leave: its query, with `KEY_MARK` for the key.
QUERY_HEADER: Final = "X-Vwo-Celery-Query"
_KEY: Final = re.compile(r"(?:^|&)env=([^& ]*)")


def masked(url: str, key: str) -> str:
    """Return the URL of a batch request with a stand-in for the key, such as "env=***cdef"."""
    return _with(url, "***" + quote_plus(mask(key).lstrip("…")))


def unsent(query: str, key: str) -> dict[str, str]:
    """Headers by which a single request takes its query to the connection, which sends neither.

    Args:
        query: The query as it is sent, without blanks and line breaks; "" for none.
        key: The SDK key, where it has one.
    """
    return {QUERY_HEADER: query.replace(quote_plus(key), KEY_MARK), _KEY_HEADER: key}


class KeyedHTTPConnection(HTTPConnection):
    """A connection that sends the key of a request's header in place of the stand-in."""

    _sdk_key = ""
    _query: str | None = None

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = None, **more: Any
    ) -> None:
        """Send a request; each has a key of its own, since destinations share connections."""
        headers = dict(headers or {})
        self._sdk_key = str(headers.get(_KEY_HEADER, ""))
        self._query = headers.pop(QUERY_HEADER, None)
        if self._query is not None:
            del headers[_KEY_HEADER]  # VWO wants none with a single event
        super().request(method, url, body, headers, **more)

    def _encode_request(self, request: str) -> bytes:
        """Encode the request line, which http.client has made from what was asked for."""
        if self._query is not None:
            request = _with_query(request, self._query, quote_plus(self._sdk_key))
        elif self._sdk_key:
            request = _with(request, quote_plus(self._sdk_key))
        line: bytes = super()._encode_request(request)  # type: ignore[misc]
        return line


def _with_query(request: str, query: str, value: str) -> str:
    """The request line of a single request, which has no query yet."""
    line, blank, version = request.rpartition(" ")
    mark = "?" if query else ""
    return f"{line}{mark}{query.replace(KEY_MARK, value)}{blank}{version}"


def _with(text: str, value: str) -> str:
    """Replace the key, also where Android's SDK writes it a second time."""
    before, mark, query = text.partition("?")
    found = _KEY.search(query)
    if found is None:
        return text
    places = re.compile(rf"((?:^|&)(?:env|i)=){re.escape(found[1])}(?=[& ]|$)")
    return before + mark + places.sub(lambda each: each[1] + value, query)
