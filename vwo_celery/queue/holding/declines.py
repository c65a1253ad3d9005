"""Declines: notes that its own configuration keeps a worker from a queue, which others may send.

Stage 3, and for operators; owns one key in Redis for each queue, and the list of these. A note
expires, and counts only while its worker listens. If the process dies here, a note is missing or
outlives its worker: nothing is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.scripts import script
from vwo_celery.queue.words.batches import LONGEST_ERROR, as_ms
from vwo_celery.queue.words.keys import as_text

#: Time for which a note counts; longer than any worker needs to find a queue again that it declines.
NOTE_SECONDS = 600.0


class Decline(msgspec.Struct, frozen=True):
    """A worker that declines a queue.

    Attributes:
        worker: Its name, host:pid-start.
        since_ms: Unix ms from which it does.
        why: What keeps it, and what to do about it.
    """

    worker: str
    since_ms: int
    why: str


def note_decline(fleet: Fleet, queue: str, worker: str, why: str) -> list[str]:
    """Note that a worker declines a queue; the names of all workers that do.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    key, ends_ms = fleet.shard(queue, 0).keys.declined, fleet.now_ms() + as_ms(NOTE_SECONDS)
    arguments = (worker, as_ms(NOTE_SECONDS), why[:LONGEST_ERROR])
    with unavailable(f"note that {worker} declines {queue}"):
        names = script("decline").run(fleet.client, (key,), arguments)
        pipe = fleet.client.pipeline(transaction=False)
        pipe.zadd(fleet.keys.declined_queues, {queue: ends_ms})
        pipe.zremrangebyscore(fleet.keys.declined_queues, "-inf", ends_ms - as_ms(NOTE_SECONDS))
        pipe.execute()
    return [as_text(name) for name in names]


def withdraw_decline(fleet: Fleet, queue: str, worker: str) -> None:
    """Forget that a worker declines a queue.

    Raises:
        QueueUnavailable: Redis did not answer; the note expires.
    """
    with unavailable(f"note that {worker} sends {queue} again"):
        fleet.client.hdel(fleet.shard(queue, 0).keys.declined, worker)


def declined_queues(fleet: Fleet, now_ms: int) -> list[str]:
    """Queues that a worker noted lately that it declines, whether or not it still listens.

    Args:
        fleet: The queues.
        now_ms: Redis' time.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable("list of queues that a worker declines"):
        queues = fleet.client.zrangebyscore(fleet.keys.declined_queues, now_ms, "+inf")
    return [as_text(queue) for queue in queues]


def declines_of(fleet: Fleet, listeners: Collection[str]) -> dict[str, tuple[Decline, ...]]:
    """Those of the *listeners* that decline a queue, by queue; only queues that one declines.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    now_ms = fleet.now_ms()
    names = declined_queues(fleet, now_ms)
    if not names:
        return {}
    with unavailable("look at the workers that decline a queue"):
        pipe = fleet.client.pipeline(transaction=False)
        for queue in names:
            pipe.hgetall(fleet.shard(queue, 0).keys.declined)
        notes = pipe.execute()
    found = zip(names, (_counting(each, listeners, now_ms) for each in notes), strict=True)
    return {queue: declines for queue, declines in found if declines}


def _counting(
    notes: Mapping[bytes, bytes], listeners: Collection[str], now_ms: int
) -> tuple[Decline, ...]:
    """The notes that count now, by worker."""
    declines = []
    for worker, note in sorted((as_text(name), as_text(note)) for name, note in notes.items()):
        since, _, rest = note.partition(":")
        until, _, why = rest.partition(":")
        if worker in listeners and since.isdigit() and until.isdigit() and int(until) > now_ms:
            declines.append(Decline(worker, int(since), why))
    return tuple(declines)
