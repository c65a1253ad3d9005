"""Stranded batches: they have a line in `info`, and are neither ready nor leased nor dead.

Stage 2 of an event's way, part of the audit. No script of this release strands one: each tries what
Redis may deny before it changes anything. A script of an older release could, where its Redis user
lacked a command, and so can whoever edits the keys. If the process dies here, the next audit goes
on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vwo_celery.connections import unavailable
from vwo_celery.logs import log
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard

#: Lines of one shard that one audit looks at, once the numbers show that a batch is stranded.
_LINES = 1_000


def suspicious(fleet: Fleet, shards: Sequence[Shard]) -> list[Shard]:
    """The shards with more lines than batches in the three sets.

    In a Cluster, those on a part that is away are left out.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return fleet.on_each_part(shards, partial(_suspicious, fleet))


def _suspicious(fleet: Fleet, shards: Sequence[Shard]) -> list[Shard]:
    with unavailable("audit"):
        pipe = fleet.client.pipeline(transaction=False)
        for shard in shards:
            k = shard.keys
            pipe.hlen(k.info)
            for key in (k.ready, k.leases, k.dead):
                pipe.zcard(key)
        counts = pipe.execute(raise_on_error=False)
    answers = zip(shards, zip(*[iter(counts)] * 4, strict=True), strict=True)
    return [
        shard
        for shard, (lines, *placed) in answers
        # A shard whose keys answer with an error is reported by its sweep.
        if not any(isinstance(each, Exception) for each in (lines, *placed)) and lines > sum(placed)
    ]


def restore(shard: Shard, lines: int = _LINES) -> int:
    """Make stranded batches ready again; their number.

    May be run at any time by anyone. One call looks at a part of the shard's lines, the next call
    goes on from there.

    Raises:
        QueueUnavailable: Redis did not answer; some may be ready.
    """
    k = shard.keys
    with unavailable(f"search for stranded batches of {k.name}"):
        keys = (k.meta, k.ready, k.leases, k.info, k.dead)
        restored = int(script("restore").run(shard.client, keys, (lines,)))
    if restored:
        log.warning(
            "%d batches of %s were stranded, neither ready nor leased nor dead, and are sent again: "
            "a script of an older release stopped in its middle; see: vwo-celery doctor",
            restored, k.name,
        )  # fmt: skip
    return restored
