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
        reason: Why it was dropped, one word: "not_json", "not_an_object", "too_large",
            "queue_full", "redis_unavailable" (no answer in time, twice; if only the answers were
            lost, it is stored and will be delivered all the same); else None.
    """

    where: Literal["redis", "spooled", "dropped"]
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.where != "dropped"


IN_REDIS = Receipt(where="redis")


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
