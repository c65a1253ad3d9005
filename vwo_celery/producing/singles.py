"""Requests that are sent singly and whole: the bytes to enqueue, and what such a queue takes.

Stage 1 of an event's way, for destinations of the generation "single". An adapter that has received a
request, such as the relay, makes an event of it with `envelope`. Pure: nothing to lose.

    queue = vwo_celery.connect(Destination(account_id=1, sdk_key="KEY", generation="single"))
    receipt = queue.enqueue(envelope(queue.destination, "/events/t?a=1&env=KEY", headers, body))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from vwo_celery.destinations import Destination
from vwo_celery.events import encode, encode_all, unwrap, wrap
from vwo_celery.settings.batch_event_data import REAL_TIME_EVENTS_PER_REQUEST, BatchSettings


def envelope(
    destination: Destination, target: str, headers: Mapping[str, str], body: bytes
) -> bytes:
    """Make the event of a request that is sent as it is; see `vwo_celery.events.envelopes.wrap`.

    Args:
        destination: Where it will be enqueued, of the generation "single".
        target: Path and query as they came, without the region, such as "/events/t?en=purchase&a=1".
        headers: Its headers as texts in Latin-1, in any case.
        body: Its body, one JSON object in UTF-8.

    Raises:
        EventError: It cannot be sent so, or names another account or key than the destination.
    """
    return wrap(
        target, headers, body, account_id=destination.account_id, sdk_key=destination.sdk_key
    )


def one_by_one(batch: BatchSettings) -> BatchSettings:
    """Return batch options by which each event leaves at once and alone."""
    return msgspec.structs.replace(
        batch, events_per_request=REAL_TIME_EVENTS_PER_REQUEST, is_least=False
    )


def encoder_of(destination: Destination) -> Callable[[Any], bytes]:
    """Return the function that encodes this destination's events, and raises EventError."""
    if not destination.is_single:
        return encode

    def encode_single(event: Any) -> bytes:
        encoded = encode(event)
        unwrap(encoded, account_id=destination.account_id, sdk_key=destination.sdk_key)
        return encoded

    return encode_single


def encoder_of_many(destination: Destination) -> Callable[[Sequence[Any]], list[bytes]]:
    """Return the function that encodes many events as `encoder_of`'s does each of them."""
    if not destination.is_single:
        return encode_all
    encode_single = encoder_of(destination)
    return lambda events: [encode_single(event) for event in events]
