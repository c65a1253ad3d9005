"""The SDK key in the request line: written by the connection itself, beneath all that records URLs.

Stage 4 of an event's way, under the sender. VWO wants the key in the query. Error trackers and tracers
(Sentry, OpenTelemetry, agents of APM vendors) and urllib3's log record the URL of each request where
they hook in: at urllib3's pool or at `putrequest` of http.client. So the request that is made has a
stand-in for the key, and the line that leaves has the key, which the request carries in the header
that VWO wants it in, too. No state; nothing to lose.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote_plus

from urllib3.connection import HTTPConnection

from vwo_celery.text.masking import mask

_KEY_HEADER: Final = "Authorization"
_KEY: Final = re.compile(r"(?:^|&)env=([^& ]*)")


def masked(url: str, key: str) -> str:
    """Return the URL of a batch request with a stand-in for the key, such as "env=***cdef"."""
    return _with(url, "***" + quote_plus(mask(key).lstrip("…")))


class KeyedHTTPConnection(HTTPConnection):
    """A connection that sends the key of a request's header in place of the stand-in."""

    _sdk_key = ""

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = None, **more: Any
    ) -> None:
        """Send a request; each has a key of its own, since destinations share connections."""
        self._sdk_key = str((headers or {}).get(_KEY_HEADER, ""))
        super().request(method, url, body, headers, **more)

    def _encode_request(self, request: str) -> bytes:
        """Encode the request line, which http.client has made from what was asked for."""
        if self._sdk_key:
            request = _with(request, quote_plus(self._sdk_key))
        line: bytes = super()._encode_request(request)  # type: ignore[misc]
        return line


def _with(text: str, value: str) -> str:
    """Replace the key, also where Android's SDK writes it a second time."""
    before, mark, query = text.partition("?")
    found = _KEY.search(query)
    if found is None:
        return text
    places = re.compile(rf"((?:^|&)(?:env|i)=){re.escape(found[1])}(?=[& ]|$)")
    return before + mark + places.sub(lambda each: each[1] + value, query)
