"""Stranded batches, and the sets by which a look is cheap: the patrol puts both right.

Stage 2 of an event's way, part of the patrol. A stranded batch has a line in `info`, and is neither
ready nor leased nor dead. No script of this release strands one: each tries what Redis may deny
before it changes anything. A script of an older release could, where its Redis user lacked a
command, and so can whoever edits the keys. Older releases do not keep `births` and `released`
either; until the patrol has entered what they left out, a glance says "at least". If the process
dies here, the next patrol goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vwo_celery.connections import unavailable
from vwo_celery.logs import log
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard

#: Lines of one shard that one patrol looks at, once the numbers show that a batch is stranded.
_LINES = 1_000


def suspicious(fleet: Fleet, shards: Sequence[Shard]) -> list[Shard]:
    """The shards with more lines than batches in the three sets, or whose sets of a look differ.

    In a Cluster, those on a part that is away are left out.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return fleet.on_each_part(shards, partial(_suspicious, fleet))


def _suspicious(fleet: Fleet, shards: Sequence[Shard]) -> list[Shard]:
    with unavailable("patrol"):
        pipe = fleet.client.pipeline(transaction=False)
        for shard in shards:
            k = shard.keys
            pipe.hlen(k.info)
            for key in (k.ready, k.leases, k.dead, k.births):
                pipe.zcard(key)
        counts = pipe.execute(raise_on_error=False)
    found, filled = [], []
    for shard, numbers in zip(shards, zip(*[iter(counts)] * 5, strict=True), strict=True):
        if any(isinstance(each, Exception) for each in numbers):
            continue  # a shard whose keys answer with an error is reported by its sweep
        lines, ready, leases, dead, births = numbers
        if lines > ready + leases + dead or births != ready + leases:
            found.append(shard)
        elif ready:
            filled.append(shard)
    return found + _unmarked(fleet, filled)


def _unmarked(fleet: Fleet, shards: Sequence[Shard]) -> list[Shard]:
    """The shards with more batches that wait for their next attempt than are marked as released."""
    if not shards:
        return []
    now_ms = fleet.now_ms()
    with unavailable("patrol"):
        pipe = fleet.client.pipeline(transaction=False)
        for shard in shards:
            pipe.zcount(shard.keys.ready, f"({now_ms}", "+inf")
            pipe.zcard(shard.keys.released)
        counts = pipe.execute(raise_on_error=False)
    return [
        shard
        for shard, (hidden, released) in zip(
            shards, zip(*[iter(counts)] * 2, strict=True), strict=True
        )
        if isinstance(hidden, int) and isinstance(released, int) and hidden > released
    ]


def restore(shard: Shard, lines: int = _LINES) -> int:
    """Make stranded batches ready again, and put the sets of a look right; the number of the former.

    May be run at any time by anyone. One call looks at a part of the shard's lines, the next call
    goes on from there.

    Raises:
        QueueUnavailable: Redis did not answer; some may be ready.
    """
    k = shard.keys
    with unavailable(f"search for stranded batches of {k.name}"):
        restored, _ = script("restore").run(shard.client, (*k.sets, *k.indexes), (lines,))
    if restored:
        log.warning(
            "%d batches of %s were stranded, neither ready nor leased nor dead, and are sent again: "
            "a script of an older release stopped in its middle; see: vwo-celery doctor",
            restored, k.name,
        )  # fmt: skip
    return int(restored)
