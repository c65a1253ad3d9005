"""The fate of batches, as a flush asks for it: delivered, dead, dropped, split, or still awaited.

Stage 5 of an event's way, seen from beside. A batch that is gone leaves no trace but counters, so
whoever waits for batches asks for notes; then the scripts that settle a batch leave one, which Redis
forgets soon. Nothing here reads the backlog. If the process dies here, notes are left that nobody
reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.words.keys import as_text
from vwo_celery.queue.words.numbers import number

#: Outcomes, in a note, of events that VWO accepted and of dead letters; every other one is the reason
#: of a drop.
DELIVERED, DEAD = "delivered", "dead"
#: Time for which notes on settled batches are asked for; longer than the pause between two asks.
NOTES_SECONDS = 30.0


class Note(NamedTuple):
    """The fate of a batch: of all its events, or of those that did not become parts.

    Attributes:
        batch: Its name.
        outcome: DELIVERED, DEAD, or the reason of a drop.
        events: Number of events that met it.
        sealed_ms: Unix ms from which the batch's age counts; -1 if it was a dead letter before.
    """

    batch: str
    outcome: str
    events: int
    sealed_ms: int


class Start(NamedTuple):
    """A shard at the moment at which a flush began to watch it.

    Attributes:
        now_ms: That moment, Unix ms.
        events: Events sealed and neither dead nor settled: those that the flush waits for.
        delivered: Events that VWO had accepted, by the ledger.
        twins: Batches among them that were sealed in that very millisecond.
        notes: Notes of that millisecond that were left before.
        died: Dead letters of that millisecond that died before.
    """

    now_ms: int
    events: int
    delivered: int
    twins: frozenset[str]
    notes: frozenset[Note]
    died: frozenset[str]


class Look(NamedTuple):
    """A later look at the shard.

    Attributes:
        sealed: Events sealed and neither dead nor settled now, newer ones included.
        delivered: Events that VWO has accepted, by the ledger.
        notes: Notes since the last look, each with its time, Unix ms; some may come twice.
        died: Dead letters since the last look, each with the time of its death, Unix ms; likewise.
    """

    sealed: int
    delivered: int
    notes: list[tuple[int, Note]]
    died: list[tuple[int, str]]


def begin(shard: Shard) -> Start:
    """Have notes left from now on, and count what there is."""
    k = shard.keys
    with unavailable(f"beginning of a flush of {k.name}"):
        keys = (k.meta, k.ready, k.leases, k.info, k.settled, k.dead)
        now, events, delivered, twins, notes, died = script("flush").run(
            shard.client, keys, (as_ms(NOTES_SECONDS),)
        )
    read = (_note(as_text(text)) for text in notes)
    return Start(now, events, delivered, _names(twins), frozenset(filter(None, read)), _names(died))


def _names(batch_ids: Iterable[bytes]) -> frozenset[str]:
    return frozenset(map(as_text, batch_ids))


def ask_for_notes(shard: Shard, now_ms: int) -> None:
    """Have notes left for a while longer."""
    with unavailable(f"word of interest in batches of {shard.keys.name}"):
        until_ms = now_ms + as_ms(NOTES_SECONDS)
        script("note").run(shard.client, (shard.keys.meta,), ("flush_until", until_ms))


def look(shard: Shard, noted_ms: int, died_ms: int) -> Look:
    """Look at what was settled.

    Args:
        shard: The shard.
        noted_ms: Time of the newest note seen; others may have come in that millisecond.
        died_ms: Time of the newest death seen; the same.
    """
    k = shard.keys
    with unavailable(f"look-up in {k.name}"):
        # The counters first: what is settled in between is in the notes and not yet in them.
        pipe = shard.client.pipeline(transaction=False)
        pipe.hmget(k.meta, ("events", "open_events", "delivered"))
        pipe.zrangebyscore(k.settled, noted_ms, "+inf", withscores=True)
        pipe.zrangebyscore(k.dead, died_ms, "+inf", withscores=True)
        (events, opened, delivered), notes, died = pipe.execute()
    read = ((int(at_ms), _note(as_text(text))) for text, at_ms in notes)
    return Look(
        max(0, number(events) - number(opened)),
        number(delivered),
        [(at_ms, note) for at_ms, note in read if note is not None],
        [(int(at_ms), as_text(batch_id)) for batch_id, at_ms in died],
    )


def _note(text: str) -> Note | None:
    outcome, *rest = text.split(":")
    if len(rest) != 3 or not (rest[0].isdecimal() and rest[2].removeprefix("-").isdecimal()):
        return None
    return Note(rest[1], outcome, int(rest[0]), int(rest[2]))


def lines_of(shard: Shard, batch_ids: Sequence[str]) -> list[tuple[str, int, int]]:
    """Name, number of events and time of sealing, Unix ms, of those of these batches that are there."""
    if not batch_ids:
        return []
    with unavailable(f"look-up in {shard.keys.name}"):
        lines = shard.client.hmget(shard.keys.info, batch_ids)
    words = [as_text(line or b"").split(":", 6) for line in lines]
    return [
        (name, int(each[2]), int(each[5]))
        for name, each in zip(batch_ids, words, strict=True)
        if len(each) == 7 and each[2].isdecimal() and each[5].isdecimal()
    ]


def first_awaited(shard: Shard, now_ms: int, twins: Iterable[str], known: str) -> str:
    """Find a batch that a flush waits for, by pages; "" if none is left.

    Args:
        shard: The shard.
        now_ms: The moment at which the flush began, Unix ms.
        twins: Batches of that millisecond that it waits for.
        known: The batch found before, which is looked at first; "" for none.
    """
    k, place = shard.keys, 0
    with unavailable(f"look-up in {k.name}"):
        while place >= 0:
            found, where = script("awaited").run(
                shard.client, (k.ready, k.leases, k.info), (now_ms, known, place, *twins)
            )
            if found:
                return as_text(where)
            known, place = "", where
    return ""
