"""Calls of the scripts that a worker runs for each batch: their keys, arguments and answers.

Stages 3 and 5 of an event's way, beneath `shard` and `work.succession`, which send them alone or
together. Pure: nothing to lose.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vwo_celery.queue.pipelining import Call
from vwo_celery.queue.words.batches import HELD, Batch, Held, as_ms, claimed_batch
from vwo_celery.queue.words.counts import Counts, as_arguments
from vwo_celery.queue.words.keys import ShardKeys, new_token


class ClaimCall(NamedTuple):
    """One claim.

    Attributes:
        call: Keys and arguments of claim.lua.
        help_token: The token under which it may hand out further wake-ups.
        lease_ms: Length of the lease.
    """

    call: Call
    help_token: str
    lease_ms: int

    @classmethod
    def of(
        cls, k: ShardKeys, *, token: str, lease_seconds: float,
        probe: bool = False, newest: bool = False,
    ) -> ClaimCall:  # fmt: skip
        """The claim from a shard with these keys; see `Shard.claim`."""
        help_token, lease_ms = new_token(), as_ms(lease_seconds)
        keys = (k.meta, k.ready, k.leases, k.info, k.slots, *k.indexes, k.tally)
        arguments = (token, lease_ms, help_token, probe + (probe and newest))
        return cls(Call(keys, arguments), help_token, lease_ms)

    def read(self, answer: Any) -> Batch | Held | None:
        """What the script answered; see `Shard.claim`."""
        if not answer:
            return None
        return HELD if len(answer) == 1 else claimed_batch(answer, self.help_token, self.lease_ms)


def ack_call(k: ShardKeys, batch_id: str, claimed_ms: int | None, counts: Counts) -> Call:
    """Keys and arguments of ack.lua; see `Shard.ack`."""
    proof = "" if claimed_ms is None else claimed_ms
    keys = (*k.sets, k.batch(batch_id), k.settled, *k.indexes, k.tally, k.traced)
    return Call(keys, (batch_id, proof, *as_arguments(counts)))
