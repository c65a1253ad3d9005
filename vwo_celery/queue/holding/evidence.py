"""Evidence about a destination: the batches that VWO accepted and refused, and the size that passes.

Stage 5, for workers that settle a batch which VWO did not accept. The evidence is noted with each
shard, for all workers. If the process dies in here, a note is missing, and a later answer makes up
for it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Passed

#: Time for which a refusal of a batch is remembered.
_SUSPICION_MS = 86_400_000


class Acceptances(NamedTuple):
    """The last acceptances; Unix ms by Redis' clock, 0 for never.

    Attributes:
        delivered_ms: Time at which VWO last accepted a batch.
        proof_ms: Time of the claim of a batch that it accepted: whatever was refused before that
            time was refused by a VWO that accepted something afterwards.
    """

    delivered_ms: int
    proof_ms: int


def acceptances(shard: Shard) -> Acceptances:
    """The last acceptances of a shard.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable(f"look at {shard.keys.name}"):
        found = shard.client.hmget(shard.keys.meta, "delivered_ms", "proof_ms")
    return Acceptances(*(int(at or 0) for at in found))


def note_proof(shard: Shard, claimed_ms: int) -> None:
    """Note that VWO accepted events of a batch claimed at that time, Unix ms.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    _note(shard, "acceptance", "proof_ms", claimed_ms)


def note_passed(shard: Shard, passed: Passed) -> None:
    """Remember a size that VWO accepts.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    names = ("fit_events", "fit_bytes", "fit_ms", "fit_refusals")
    fields = zip(names, msgspec.structs.astuple(passed), strict=True)
    _note(shard, "size", *(word for field in fields for word in field))


def suspect(shard: Shard, batch_id: str) -> int:
    """Remember for a day that VWO refused a batch; Unix ms of its refusal before, 0 for none.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable(f"note on batch {batch_id}"):
        key = shard.keys.suspect(batch_id)
        return int(script("suspect").run(shard.client, (key,), (_SUSPICION_MS,)))


def _note(shard: Shard, doing: str, *words: object) -> None:
    with unavailable(f"{doing} of {shard.keys.name}"):
        script("note").run(shard.client, (shard.keys.meta,), words)
