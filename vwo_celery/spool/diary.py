"""The diary of an outage: the application's log says where its events are, and that they have left.

Beside stage 1 of an event's way. Whoever reads these lines may never have heard of a spool or a
breaker. Each kind of line comes at most once a minute and counts all events since the outage began;
its end is a warning as its beginning was, so that both are seen. Each process tells of its own
events. If it dies, a line is missing, and no event.
"""

from __future__ import annotations

from _thread import RLock  # the lock in C, also under gevent: see `logs`

from vwo_celery.clocks import monotonic
from vwo_celery.forks import PerProcess
from vwo_celery.logs import LOG_EVERY_SECONDS, SeldomLog, forget_unsaid, log
from vwo_celery.text.amounts import count
from vwo_celery.text.moments import since

#: Reasons for which events are lost while Redis takes none.
OF_AN_OUTAGE = frozenset({"redis_unavailable", "spool_full", "spool_oldest"})
#: Log of lines of which each is seldom by itself; nothing is raised by a handler of the application's.
seldom = SeldomLog(0.0)


class _Outage:
    """What one process kept and lost since Redis last took everything.

    Attributes:
        kept: Events that went to this host's disk.
        kept_at: When the first of them did.
        made_room: Events that were dropped from the disk to make room.
        lost: Events that neither Redis nor the disk took, by queue and reason.
        lost_at: When the first of them was lost.
        told_at: When a line last told of kept events.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.kept = self.made_room = 0
        self.kept_at = self.lost_at = 0.0
        self.lost: dict[tuple[str, str], int] = {}
        self.told_at: float | None = None


class Diary:
    """Tells of events that Redis does not take. Shared by a process' queues of one Redis.

    Args:
        folder: Where this host keeps them; "" for nowhere.

    Attributes:
        why: The last failure of Redis, "" for none.
    """

    def __init__(self, folder: str) -> None:
        self.why = ""
        self._folder = folder
        self._outage = PerProcess(_Outage)

    def note_kept(self, events: int, why: str) -> None:
        """Note events that went to the disk; say so now and then."""
        now, outage = monotonic(), self._outage.get()
        with outage.lock:
            if not outage.kept:
                outage.kept_at = now
            outage.kept += events
            told_at, kept = outage.told_at, outage.kept
            if told_at is not None and now - told_at < LOG_EVERY_SECONDS:
                return
            outage.told_at = now
        when = f" {since(now - outage.kept_at)}" if told_at is not None else " so far"
        seldom.warn(
            "kept",
            "%s; events are kept on this host's disk meanwhile, in %s: %s of this process%s. They are "
            "sent by themselves when Redis takes them again",
            why or self.why, self._folder, count(kept, "event"), when,
        )  # fmt: skip

    def note_lost(self, queue: str, reason: str, events: int) -> None:
        """Note events that are kept nowhere, for the line at the end of the outage."""
        if reason not in OF_AN_OUTAGE:
            return
        outage = self._outage.get()
        with outage.lock:
            if not outage.lost:
                outage.lost_at = monotonic()
            outage.lost[queue, reason] = outage.lost.get((queue, reason), 0) + events
            outage.made_room += events if reason == "spool_oldest" else 0

    def note_recovered(self, part: str = "") -> None:
        """Say that Redis, or a part of a Cluster, takes events again, and what was lost meanwhile."""
        where, outage = f" at {part}" if part else "", self._outage.get()
        with outage.lock:
            lost, outage.lost = outage.lost, {}
        if not lost:
            log.info("Redis takes events again%s", where)
            return
        for queue, reason in lost:
            forget_unsaid(queue, reason)
        seldom.warn(
            "lost",
            "Redis takes events again%s. %s of this process were lost %s, since this host's disk did "
            "not keep them (%s); vwo-celery status has the sum of all processes",
            where, count(sum(lost.values()), "event"), since(monotonic() - outage.lost_at),
            ", ".join(sorted({reason for _, reason in lost})),
        )  # fmt: skip

    @property
    def kept(self) -> int:
        """Events that this process has kept on the disk since it was last seen empty."""
        return self._outage.get().kept

    def note_empty(self, kept: int) -> None:
        """Say that the events which this process kept on the disk have left it.

        Args:
            kept: Their number before somebody saw that the disk holds none; none has come since.
        """
        outage = self._outage.get()
        if not kept or kept != outage.kept:
            return
        with outage.lock:
            if kept != outage.kept:
                return
            when, made_room = since(monotonic() - outage.kept_at), outage.made_room
            outage.kept, outage.made_room, outage.told_at = 0, 0, None
        but = f", but for {made_room:,} that were dropped to make room" if made_room else ""
        seldom.warn(
            "gone", "all %s that this process kept on this host's disk %s have been stored in Redis%s",
            count(kept, "event"), when, but,
        )  # fmt: skip
