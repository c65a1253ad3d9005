"""What Redis did not take: it goes to this host's spool, or it is dropped, counted and announced.

Place: work, stage 1 of an event's way, where the usual way ends. A push that may have arrived is
spooled with its mark, so that it is stored once whatever became of it. If the process dies in here,
there is no receipt, and the event may or may not be in the spool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vwo_celery.drops import announce_drop
from vwo_celery.errors import QueueFull, SpoolFull, SpoolUnavailable
from vwo_celery.fallback import Fallback
from vwo_celery.fleet import Registration
from vwo_celery.pushes import Push, describe
from vwo_celery.receipts import SPOOLED, Receipt
from vwo_celery.settings import Settings
from vwo_celery.spool_pages import Sent


class Leftovers:
    """Takes what Redis did not, for one queue.

    Attributes:
        dropped: Events that were dropped here, by reason.
    """

    def __init__(self, registration: Registration, settings: Settings, fallback: Fallback) -> None:
        self.dropped: Counter[str] = Counter()
        self._registration = registration
        self._queue = registration.destination.queue
        self._policy = settings.when_full
        self._fallback = fallback

    def keep_sent(self, push: Push, exc: Exception) -> Receipt:
        """Spool a push that failed under its mark, which must not be used again: it may have arrived.

        Raises:
            QueueFull: See `keep`.
        """
        self._fallback.note_failure(exc)
        mark = push.mark
        sent = Sent(push.shard.number, mark.id, mark.sequence, mark.life)
        return self.keep(push.texts, describe(exc), sent)

    def keep(
        self,
        texts: Sequence[bytes],
        detail: str = "",
        sent: Sent | None = None,
        *,
        reason: str = "redis_unavailable",
    ) -> Receipt:
        """Spool events, or drop them where that cannot be.

        Args:
            texts: The events, encoded; at most a page.
            detail: What Redis said, if it was asked.
            sent: What they were sent under, if they may have arrived.
            reason: Under which they are dropped if this host's disk cannot take them.

        Raises:
            QueueFull: The spool is full, and `when_full` is "raise".
        """
        on_drop = self._drop_oldest if self._policy == "drop_oldest" else None
        why = f"{detail}; " if detail else ""
        try:
            self._fallback.put(self._registration, texts, sent, on_drop=on_drop)
        except SpoolFull as exc:
            if self._policy == "raise":
                raise QueueFull(f"{len(texts)} events not stored: {why}{exc}") from exc
            return self.drop("spool_full", len(texts), f"{why}{exc}")
        except SpoolUnavailable as exc:
            return self.drop(reason, len(texts), f"{why}{exc}")
        return SPOOLED

    def drop(self, reason: str, count: int, detail: str) -> Receipt:
        """Count and announce events that are kept nowhere."""
        self.dropped[reason] += count
        announce_drop(self._queue, reason, count, detail)
        return Receipt(where="dropped", reason=reason)

    def _drop_oldest(self, queue: str, count: int) -> None:
        self.dropped["spool_oldest"] += count
        announce_drop(
            queue, "spool_oldest", count,
            "the spool is full, and when_full is drop_oldest; see why Redis is away, or raise "
            "max_spool_bytes",
        )  # fmt: skip
