"""Limits of what one request, and all requests of one process, may cost.

Pure: nothing to lose.
"""

from __future__ import annotations

import msgspec

from vwo_celery.events import MAX_BODY_BYTES, MAX_EVENTS_PER_REQUEST

#: Most bytes of a body, before and after inflating; VWO's own limit of a request.
MOST_BODY_BYTES = MAX_BODY_BYTES
#: Most events of one request, except of phones; VWO's own limit.
MOST_EVENTS = MAX_EVENTS_PER_REQUEST
#: Most events that a phone uploads at once: more than its events, of some hundred bytes each, can be.
MOST_EVENTS_OF_PHONES = 100_000
#: Pause that a client is asked for where nothing could take its events.
RETRY_AFTER_SECONDS = 2
_MEGABYTE = 1_000_000


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one process that receives requests.

    Attributes:
        header_bytes: Most bytes of a request line and its headers. (A query holds at most the tags
            of one visitor; nginx' default is as large.)
        header_seconds: Longest time from the first byte of a request to the last of its headers, and
            of a new connection without any.
        body_bytes: Most bytes of a body.
        body_seconds: Longest time for a body, besides `seconds_per_megabyte`.
        seconds_per_megabyte: Further time for each megabyte that has arrived.
        connections: Most connections that are served at once; further ones are answered 503.
        held_bytes: Most bytes of bodies that all connections hold at once.
        idle_seconds: How long a connection without a request is kept.
        linger_seconds: How long the rest of a refused request is read and thrown away, so that its
            client reads the answer instead of a reset.
    """

    header_bytes: int = 32_768
    header_seconds: float = 5.0
    body_bytes: int = MOST_BODY_BYTES
    body_seconds: float = 10.0
    seconds_per_megabyte: float = 1.0
    connections: int = 512
    held_bytes: int = 256 * _MEGABYTE
    idle_seconds: float = 65.0
    linger_seconds: float = 2.0

    def body_allowance(self, received_bytes: int) -> float:
        """Seconds that a body may take of which so much has arrived."""
        return self.body_seconds + self.seconds_per_megabyte * received_bytes / _MEGABYTE
