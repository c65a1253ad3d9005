"""Results for the caller: a receipt for each event, the result of a flush or of a drain.

Pure: nothing to lose.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Receipt(msgspec.Struct, frozen=True):
    """The receipt of one event; falsy if the event was dropped.

    Attributes:
        where: "redis": the event will be delivered, or be visible among the dead letters;
            "spooled": the same, from this host's disk; "dropped": it will not, but see
            "redis_unavailable".
        reason: "not_replicated" for an event in Redis that fewer replicas than `wait_replicas`
            confirmed in time; it is lost if the master is lost now. For a dropped event one word:
            "not_json", "not_an_object", "not_single", "too_large", "queue_full", "spool_full",
            "internal_error" (a fault of vwo_celery's or of this program's surroundings, logged for a
            report), or "redis_unavailable" (neither Redis nor this host's disk took it; if only
            Redis' answers were lost, it is delivered nevertheless). Otherwise None.
    """

    where: Literal["redis", "spooled", "dropped"]
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.where != "dropped"


IN_REDIS = Receipt(where="redis")
NOT_REPLICATED = Receipt(where="redis", reason="not_replicated")
SPOOLED = Receipt(where="spooled")


class DrainResult(msgspec.Struct, frozen=True):
    """The result of draining this host's spool; truthy only if the spool is empty now.

    Attributes:
        drained: Number of events moved to Redis.
        left: Number of events still on this host's disk, of all queues.
        reason: Why some are left, "" if none is.
    """

    drained: int = 0
    left: int = 0
    reason: str = ""

    def __bool__(self) -> bool:
        return not (self.left or self.reason)


class FlushResult(msgspec.Struct, frozen=True):
    """The result of a flush within its timeout; truthy only if everything was delivered.

    Attributes:
        delivered: Number of events, of those pending when the flush began, that VWO has accepted.
        failed: Number of them that were dead-lettered or dropped, or that Redis lost; see reason.
        pending: Number of them that are still in Redis or in this host's spool.
        reason: Why not everything was delivered, "" if it was.
    """

    delivered: int = 0
    failed: int = 0
    pending: int = 0
    reason: str = ""

    def __bool__(self) -> bool:
        return not (self.failed or self.pending or self.reason)
