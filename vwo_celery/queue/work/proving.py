"""Proofs of the ledgers: now and then a sweep reads what is stored, and compares the scripts' counts.

Stage 2 of an event's way, after the sweep. The numbers that everybody watches are the scripts' own; only
what is stored proves them. So it is read every ten minutes, once for the whole fleet, wherever that
takes a moment. If the process dies here, the next sweep that is due proves all of it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from vwo_celery.clocks import monotonic
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.queue.looks.snapshots import MOST_AT_ONCE, take_snapshots
from vwo_celery.queue.records.balances import note_begun, note_proven, read_balances
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import split_shard_name

#: Time between two proofs, for the whole fleet.
PERIOD_MS: Final = 600_000
#: Time between two looks of one process whether a proof is due.
_LOOK_SECONDS: Final = 30.0


def prove_if_due(fleet: Fleet) -> None:
    """Prove the ledgers of the shards that hold, or lately held, something, if nobody has of late.

    A shard of more batches than `MOST_AT_ONCE` keeps the result that it has: `vwo-celery ledger` proves
    it. What Redis refuses is logged now and then, and missing.
    """
    fleet = fleet.reader
    memory, now = fleet.memory, monotonic()
    if now < memory.prove_look_at:
        return
    memory.prove_look_at = now + _LOOK_SECONDS
    place = fleet.keys.balances
    fleet.hints.attempt(place, "the proof of the ledgers", partial(_prove, fleet), None)


def _prove(fleet: Fleet) -> None:
    last, now_ms = read_balances(fleet), fleet.now_ms()
    if 0 <= now_ms - last.begun_ms < PERIOD_MS:  # below 0 where Redis' clock stepped back
        return
    note_begun(fleet, now_ms)
    names = {*fleet.watched_names(), *filter(_is_shard, last.imbalances)}
    living = fleet.on_living_parts(sorted(names))
    proven = imbalances_of([fleet.shard(*split_shard_name(name)) for name in living])
    note_proven(fleet, fleet.now_ms(), proven)


def _is_shard(name: str) -> bool:
    return name.rpartition(":")[2].isdecimal()


def imbalances_of(shards: Sequence[Shard]) -> dict[str, int]:
    """Events by which the ledger of each shard is out of balance, by its name, 0 for none.

    A shard of very many batches is left out, and one of which something cannot be read.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    glances = take_glances(shards)
    small = [s for s, each in zip(shards, glances, strict=True) if each.batches <= MOST_AT_ONCE]
    if not small:
        return {}
    return {each.shard: each.imbalance for each in take_snapshots(small) if not each.unreadable}
