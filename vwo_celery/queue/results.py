"""(error, events) of settled batches over Redis pub/sub, for apps that want the answer where they are.

Place: words around one pub/sub channel, used by the worker that reports and the app that listens.
Best effort: what is published while nobody listens is gone; delivery does not depend on it. Who
listens says so in the shards' meta hash, so that a worker publishes nothing to nobody.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from vwo_celery.events import decode, unsendable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.registration import Registration

#: How long one word of interest holds; renewed while somebody iterates.
INTEREST_SECONDS = 10.0
_POLL_SECONDS = 1.0


class _Result(msgspec.Struct, array_like=True):
    error: str | None
    events: list[msgspec.Raw]


def result_text(error: str | None, raw_events: Sequence[bytes]) -> bytes:
    """An outcome as it is published: a JSON array of the error and the events.

    What another program pushed and is no JSON object becomes text, as `decode` makes it.
    """
    parts = [bytes(event) for event in raw_events]
    for index, _ in unsendable(parts):
        parts[index] = msgspec.json.encode(parts[index].decode("utf-8", "replace"))
    return b"[%b,[%b]]" % (msgspec.json.encode(error), b",".join(parts))


def listen(
    fleet: Fleet, registration: Registration, timeout_seconds: float | None
) -> Iterator[tuple[str | None, list[Any]]]:
    """(error, events) of a queue's batches as they are reported.

    Args:
        fleet: The queues.
        registration: The queue's.
        timeout_seconds: End after so long without a report; None waits for ever.
    """
    queue = registration.destination.queue
    heard, spoke = time.monotonic(), 0.0
    for text in fleet.results(queue, timeout_seconds=min(_POLL_SECONDS, timeout_seconds or 1.0)):
        now = time.monotonic()
        if now - spoke > INTEREST_SECONDS / 2:
            fleet.want_results(registration, for_seconds=INTEREST_SECONDS)
            spoke = now
        if text is not None:
            heard = now
            result = _read(text)
            if result is not None:
                yield result
        elif timeout_seconds is not None and now - heard >= timeout_seconds:
            return


def _read(text: bytes) -> tuple[str | None, list[Any]] | None:
    """An outcome; None where it is none, since whoever reaches Redis can publish anything."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        result = msgspec.json.decode(text, type=_Result)
        return result.error, [decode(bytes(event)) for event in result.events]
    with suppress(ValueError, RecursionError):  # a lone surrogate in one event, maybe
        match json.loads(text):
            case [str() | None as error, [*events]]:
                return error, events
    return None
