"""What a caller is told: a receipt for each event, and the outcome of a flush.

Place: words, no I/O.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Receipt(msgspec.Struct, frozen=True):
    """What became of one event.

    Attributes:
        where: "redis": it will be delivered, or be visible among the dead letters; "spooled": the
            same, from this host's disk; "dropped": it will not, but see "redis_unavailable".
        reason: "not_replicated" where it is in Redis, but fewer replicas than `wait_replicas` said so
            in time: lost if the master is lost now. Or why it was dropped, one word: "not_json",
            "not_an_object", "too_large", "queue_full", "spool_full", "redis_unavailable" (Redis did not
            take it, nor could this host's disk; if only Redis' answers were lost, it is delivered all
            the same). Else None.
    """

    where: Literal["redis", "spooled", "dropped"]
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.where != "dropped"


IN_REDIS = Receipt(where="redis")
NOT_REPLICATED = Receipt(where="redis", reason="not_replicated")
SPOOLED = Receipt(where="spooled")


class DrainResult(msgspec.Struct, frozen=True):
    """What a drain of this host's spool achieved; truthy where the spool is empty now.

    Attributes:
        drained: Events that went to Redis.
        left: Events that are still on this host's disk, of all queues.
        reason: Why some are, "" if none is.
    """

    drained: int = 0
    left: int = 0
    reason: str = ""

    def __bool__(self) -> bool:
        return not (self.left or self.reason)


class FlushResult(msgspec.Struct, frozen=True):
    """What a flush achieved within its timeout; truthy where everything was delivered.

    Attributes:
        delivered: Events that VWO accepted since the flush began, of those pending then.
        failed: Events of those that were dead-lettered since.
        pending: Events of those that are still in Redis.
        reason: Why not everything was delivered, "" if it was.
    """

    delivered: int = 0
    failed: int = 0
    pending: int = 0
    reason: str = ""

    def __bool__(self) -> bool:
        return not (self.failed or self.pending or self.reason)
