"""Results, (error, events) of settled batches, from workers to applications over Redis pub/sub.

Stage 6 of an event's way, used by the worker that publishes and the application that listens. Best
effort: a result that is published while nobody listens is gone; delivery does not depend on it. A
listening application says so in the shards' meta hash, so that workers publish only when needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.errors import QueueUnavailable
from vwo_celery.events import decode, unsendable
from vwo_celery.logs import seldom
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Registration

#: Time for which an application counts as listening; renewed while it iterates.
INTEREST_SECONDS = 10.0
_POLL_SECONDS = 1.0


class Settled(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt at a batch, as an operator follows it.

    Attributes:
        batch: The batch's id.
        attempt: Number of the attempt, from 1.
        outcome: "delivered", "released", "split", "dead_lettered" or "paused".
        answer: VWO's status, or a word of `outcomes.Failure`; "" if the batch was not sent.
    """

    batch: str = ""
    attempt: int = 0
    outcome: str = ""
    answer: str = ""


class _Result(msgspec.Struct, array_like=True):
    error: str | None
    events: list[msgspec.Raw]
    settled: Settled = Settled()


def result_text(
    error: str | None, raw_events: Sequence[bytes], settled: Settled | None = None
) -> bytes:
    """Encode an outcome for publishing: a JSON array of the error, the events and the attempt.

    Bytes that another program pushed and that are no JSON object become a string, as in `decode`.
    Releases before 0.2.0 publish the first two, and leave the third unread.
    """
    parts = [bytes(event) for event in raw_events]
    for index, _ in unsendable(parts):
        parts[index] = msgspec.json.encode(parts[index].decode("utf-8", "replace"))
    told = msgspec.json.encode(settled or Settled())
    return b"[%b,[%b],%b]" % (msgspec.json.encode(error), b",".join(parts), told)


def listen(
    fleet: Fleet, registration: Registration, timeout_seconds: float | None
) -> Iterator[tuple[str | None, list[Any]]]:
    """Yield (error, events) of a queue's batches as they are published.

    Args:
        fleet: The queues.
        registration: The queue's registration.
        timeout_seconds: End after this time without a result; None for never.
    """
    queue = registration.destination.queue
    heard, spoke = monotonic(), 0.0
    for text in _published(fleet, queue, min(_POLL_SECONDS, timeout_seconds or 1.0)):
        now = monotonic()
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


def _published(fleet: Fleet, queue: str, timeout_seconds: float) -> Iterator[bytes | None]:
    """What is published; it goes on after Redis has cut the connection.

    Redis cuts off a listener that reads too slowly: when more than 32 MB wait for it, or 8 MB for a
    minute, as by default (client-output-buffer-limit pubsub). A result can be of 10 MB.

    Raises:
        QueueUnavailable: Redis did not answer twice in a row.
    """
    cut = False
    while True:
        try:
            for text in fleet.results(queue, timeout_seconds=timeout_seconds):
                cut = False
                yield text
        except QueueUnavailable as exc:
            if cut:
                raise
            cut = True
            seldom.warn(
                f"results {queue}",
                "a listener for results of queue %s was cut off, and listens again: what was "
                "published meanwhile is missed, its delivery is not touched; read results faster, "
                "or raise client-output-buffer-limit of pubsub in Redis: %s", queue, exc,
            )  # fmt: skip


def _read(text: bytes) -> tuple[str | None, list[Any]] | None:
    """Decode an outcome; None if it is none, since anyone with access to Redis can publish."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        result = msgspec.json.decode(text, type=_Result)
        return result.error, [decode(bytes(event)) for event in result.events]
    with suppress(ValueError, RecursionError):  # a lone surrogate in one event, maybe
        match json.loads(text):
            case [str() | None as error, [*events], *_]:
                return error, events
    return None


def outline(text: bytes) -> tuple[str | None, int, Settled] | None:
    """Read the error, the number of events and the attempt of an outcome; None if it is none."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        result = msgspec.json.decode(text, type=_Result)
        return result.error, len(result.events), result.settled
    with suppress(ValueError, RecursionError):  # a lone surrogate in one event, maybe
        match json.loads(text):
            case [str() | None as error, [*events], *more]:
                return error, len(events), _settled(more)
    return None


def _settled(more: list[Any]) -> Settled:
    try:
        return msgspec.convert(more[0], Settled)
    except (IndexError, msgspec.ValidationError):
        return Settled()
