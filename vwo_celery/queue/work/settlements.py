"""The fate of single batches, as a flush asks for it: awaited, dead, split, or gone and how.

Stage 5 of an event's way, seen from beside. A batch that is gone leaves no trace but counters, so
whoever waits for batches asks for notes first; then the scripts that make a batch go leave one, which
Redis forgets soon. If the process dies here, notes are left that nobody reads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.batches import stems
from vwo_celery.queue.keys import as_text
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard

#: Outcome, in a note, of events that VWO accepted; every other one is the reason of a drop.
DELIVERED = "delivered"


class Note(NamedTuple):
    """The fate of a batch that is gone: of all its events, or of those that did not become parts."""

    batch: str
    outcome: str
    events: int


def ask_for_notes(shard: Shard, until_ms: int) -> None:
    """Have notes left until *until_ms*, Unix ms of Redis' clock."""
    with unavailable(f"word of interest in batches of {shard.keys.name}"):
        script("note").run(shard.client, (shard.keys.meta,), ("flush_until", until_ms))


def read_notes(shard: Shard, since_ms: int) -> list[tuple[int, Note]]:
    """The notes from *since_ms* on, each with its time, Unix ms; they are kept for a minute."""
    with unavailable(f"look-up in {shard.keys.name}"):
        found = shard.client.zrangebyscore(shard.keys.settled, since_ms, "+inf", withscores=True)
    notes = []
    for text, at_ms in found:
        outcome, _, rest = as_text(text).partition(":")
        events, _, batch_id = rest.partition(":")
        if events.isdecimal():
            notes.append((int(at_ms), Note(batch_id, outcome, int(events))))
    return notes


def look(shard: Shard, batch_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those of these batches that are dead letters now, and those that are gone."""
    with unavailable(f"look-up in {shard.keys.name}"):
        # Dead letters first: a batch that dies in between is then awaited, not taken for gone.
        pipe = shard.client.pipeline(transaction=False)
        pipe.zmscore(shard.keys.dead, batch_ids)
        pipe.hmget(shard.keys.info, batch_ids)
        died, lines = pipe.execute()
    found = list(zip(batch_ids, died, lines, strict=True))
    dead = [name for name, at, _ in found if at is not None]
    gone = [name for name, at, line in found if at is None and line is None]
    return dead, gone


def parts_of(shard: Shard, batch_ids: Collection[str]) -> dict[str, int]:
    """Number of events of each batch that these were split into, at any depth."""
    with unavailable(f"look-up in {shard.keys.name}"):
        lines = shard.client.hgetall(shard.keys.info)
    found = ((as_text(batch_id), as_text(line)) for batch_id, line in lines.items())
    begin = stems(batch_ids)
    return {name: _events_in(line) for name, line in found if name.startswith(begin)}


def _events_in(line: str) -> int:
    """Number of events that a batch's line tells; 0 if it cannot be read."""
    events = line.split(":")[2:3]
    return int(events[0]) if events and events[0].isdecimal() else 0


def delivered_events(shard: Shard) -> int:
    """Number of the shard's events that VWO ever accepted, by the ledger."""
    with unavailable(f"look-up in {shard.keys.name}"):
        return int(shard.client.hget(shard.keys.meta, "delivered") or 0)
