"""Encoded events: the bytes that go on the wire, and the body of a batch made of them.

Files, in reading order: `encoding` (from an event to its bytes, once, before `enqueue` asks Redis
anything), `values` (what values without a JSON form become), `writing` (the slower writer, which
tells where in an event an unsuitable value is), `bodies` (encoded events joined, checked, shown),
`envelopes` (requests that are sent one by one and whole). Used at stages 1 and 4; pure. If the
process dies here, the event was not yet accepted, or is stored unchanged.
"""

from __future__ import annotations

from vwo_celery.events.bodies import (
    BODY_OVERHEAD_BYTES,
    MAX_BODY_BYTES,
    MAX_EVENT_BYTES,
    MAX_EVENTS_PER_REQUEST,
    MAX_NESTING,
    body,
    decode,
    unsendable,
)
from vwo_celery.events.encoding import encode, encode_all
from vwo_celery.events.envelopes import (
    ENVELOPE_HEADERS,
    SINGLE_PATH,
    USAGE_STATISTICS,
    Envelope,
    misfits,
    unwrap,
    wrap,
)

__all__ = [
    "BODY_OVERHEAD_BYTES",
    "ENVELOPE_HEADERS",
    "MAX_BODY_BYTES",
    "MAX_EVENTS_PER_REQUEST",
    "MAX_EVENT_BYTES",
    "MAX_NESTING",
    "SINGLE_PATH",
    "USAGE_STATISTICS",
    "Envelope",
    "body",
    "decode",
    "encode",
    "encode_all",
    "misfits",
    "unsendable",
    "unwrap",
    "wrap",
]
