"""The fallback for events that Redis does not take: breaker, spool and drainer working together.

Beside stage 1 of an event's way. A process has one `Fallback` for each Redis, namespace and folder,
shared by its queues: a Redis in trouble is in trouble for all of them. If the process dies, spooled
events are on disk for any other process of this host.
"""

from __future__ import annotations

import math
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from vwo_celery.clocks import monotonic
from vwo_celery.connections import shared_client, twin_of
from vwo_celery.connections.errors import (
    advise,
    is_trouble_of_redis,
    log_unforeseen,
)
from vwo_celery.errors import QueueFull, SpoolFull, SpoolUnavailable, VwoCeleryError
from vwo_celery.logs import announce_drop, log_surprise
from vwo_celery.queue import registry
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records import reports
from vwo_celery.queue.words.registration import Registration
from vwo_celery.queue.work.pushes import Push
from vwo_celery.receipts import SPOOLED, DrainResult, Receipt
from vwo_celery.settings import Settings
from vwo_celery.spool.breaker import Breakers
from vwo_celery.spool.database import SpoolBusy
from vwo_celery.spool.diary import Diary
from vwo_celery.spool.drain import Drain
from vwo_celery.spool.drainer import Drainer
from vwo_celery.spool.files import address_of, spool_files
from vwo_celery.spool.pages import Sent
from vwo_celery.spool.reporter import Reporter
from vwo_celery.spool.spool import Spool

#: Longest wait for one answer of Redis, where no request waits.
_ANSWER_TIMEOUT_SECONDS = 2.0
#: Time between two looks at whether other processes have spooled something.
_LOOK_SECONDS = 3.0
#: Pause after a failure of the disk, during which nothing is spooled.
_DISK_PAUSE_SECONDS = 1.0
#: Time after a failure of the disk in which nobody should rely on it.
_DOUBT_SECONDS = 30.0
_SHORTEST_WAIT_SECONDS = 0.005
_POLL_SECONDS = 0.05
_NO_SPOOL = (
    "this host's disk keeps no events, since spool_dir is empty, so each is lost until Redis takes "
    "them again; set it (VWO_CELERY_SPOOL_DIR) to a folder of the application's user"
)
#: Most calls of `put` for one page, with room made in between.
_MOST_PUTS = 5

#: Called as `on_drop(queue, count)`.
OnDrop = Callable[[str, int], None]


class Fallback:
    """Breaker, spool and drainer of one Redis and namespace in this process. Made by `fallback_of`.

    Attributes:
        breaker: Open while calls go straight to the spool; in a Cluster there is one for each part,
            see `breaker_at`.
        spool: None if `spool_dir` is empty.
        reporter: Tells Redis of what this process drops, spools and drains.
        diary: Tells the application's log of it.
        open_fleet: Returns the queues in Redis, through a client that waits longer than a request
            may.
    """

    def __init__(self, settings: Settings, client: Any = None) -> None:
        self._breakers = Breakers()
        self.breaker = self._breakers.common
        self.breaker_at = self._breakers.at
        self._failed: dict[str, tuple[Registration, int]] = {}
        self.spool: Spool | None = None
        self.open_fleet = _LazyFleet(settings, client, _ANSWER_TIMEOUT_SECONDS)
        at_exit = _LazyFleet(settings, client, settings.enqueue_timeout_seconds)
        self.reporter = Reporter(at_exit)
        self._enqueue_seconds = settings.enqueue_timeout_seconds
        self._look_at = 0.0
        self._disk_at = -math.inf  # when it is tried again
        self._disk_why = ""
        self.diary = Diary(settings.spool_dir)
        if settings.spool_dir:
            address = address_of(settings.redis_url, client)
            files = spool_files(settings.spool_dir, settings.namespace, address)
            most = settings.max_spool_bytes
            self.spool = Spool(files, max_bytes=most, for_requests=True)
            space = Spool(files, max_bytes=most)
            self._drain = Drain(space, self.open_fleet, self.reporter, self.diary)
            probe = weakref.WeakMethod(self._probe)
            self._drainer = Drainer(self._drain, self._breakers, probe, self.diary)

    # -- within a request

    def put(
        self,
        registration: Registration,
        encoded: Sequence[bytes],
        sent: Sent | None = None,
        *,
        on_drop: OnDrop | None = None,
    ) -> None:
        """Keep events on disk; see `Spool.put`.

        Args:
            registration: Their queue's registration.
            encoded: The events.
            sent: Shard and mark of an earlier push of them; None for none.
            on_drop: Called for older events that are dropped to make room; None to drop none.

        Raises:
            SpoolFull: The events do not fit.
            SpoolUnavailable: There is no spool, or it cannot be used.
        """
        now = monotonic()
        if self.spool is None:
            raise SpoolUnavailable(_NO_SPOOL)
        if now < self._disk_at:
            raise SpoolUnavailable(f"a moment ago: {self._disk_why}")
        deadline = now + self._enqueue_seconds
        try:
            self._put(self.spool, registration, encoded, sent, on_drop, deadline)
        except SpoolFull:
            self._start_drainer()
            raise
        except SpoolBusy:
            raise
        except SpoolUnavailable as exc:
            self._disk_at, self._disk_why = now + _DISK_PAUSE_SECONDS, str(exc)
            raise
        self._disk_at = -math.inf
        self._start_drainer()

    def _put(
        self,
        spool: Spool,
        registration: Registration,
        encoded: Sequence[bytes],
        sent: Sent | None,
        on_drop: OnDrop | None,
        deadline: float,
    ) -> None:
        for puts_left in reversed(range(_MOST_PUTS)):
            left = max(_SHORTEST_WAIT_SECONDS, deadline - monotonic())
            try:
                spool.put(registration, encoded, sent, timeout_seconds=left)
            except SpoolFull:
                if on_drop is None or not puts_left:
                    raise
            else:
                return
            for queue, count in spool.make_room(encoded, timeout_seconds=left).items():
                on_drop(queue, count)

    def note_failure(
        self, exc: BaseException | None, registration: Registration, shard: int, part: str
    ) -> None:
        """Open the breaker of a part if a failure concerns more than one queue.

        Args:
            exc: The failure.
            registration: The queue that met it; the drainer tries the part with it.
            shard: Number of its shard on that part.
            part: See `Push`.
        """
        if isinstance(exc, Exception):
            self.diary.why = advise(exc)
        if is_trouble_of_redis(exc):
            self._failed[part] = registration, shard
            self.breaker_at(part).open(monotonic())

    def look(self, *, now_and_then: bool = True) -> None:
        """Start the drainer if any process has spooled something; costs a listing of the folder.

        Args:
            now_and_then: Whether to do nothing shortly after the last look.
        """
        if self.spool is None:
            return
        now = monotonic()
        if now_and_then and now < self._look_at:
            return
        self._look_at, kept = now + _LOOK_SECONDS, self.diary.kept
        if self.spool.holds_something:
            self._start_drainer()
        else:
            self.diary.note_empty(kept)

    def _start_drainer(self) -> None:
        try:
            self._drainer.ensure()
        except Exception as exc:  # the events are stored by now
            log_surprise(exc, "this process does not drain the spool now")

    @property
    def disk_is_doubtful(self) -> bool:
        """Whether the disk has failed a moment ago, when events came last."""
        return monotonic() < self._disk_at + _DOUBT_SECONDS

    # -- outside of requests

    def count(self, queue: str | None = None) -> int:
        """Count the events in this host's spool, of one queue or of all; 0 without a spool.

        Raises:
            SpoolUnavailable: The spool cannot be read.
        """
        return 0 if self.spool is None else self.spool.count(queue)

    def drain(
        self,
        timeout_seconds: float,
        watch: Callable[[int], None] = lambda _: None,
        *,
        give_up: bool = False,
    ) -> DrainResult:
        """Drain the spool in this thread, as far as the time allows.

        Args:
            timeout_seconds: Longest wait; a page that is under way by then is finished.
            watch: Called after each step with the number of events drained so far.
            give_up: Whether to end when Redis does not answer, instead of waiting for it.
        """
        if self.spool is None:
            return DrainResult()
        deadline, drained = monotonic() + timeout_seconds, 0
        while True:
            step = self._drain.step()
            drained += step.events
            watch(drained)
            if step.state == "empty":
                return self._left(drained, "")
            hopeless = give_up and step.state in {"unavailable", "waiting"}
            if hopeless or monotonic() >= deadline:
                return self._left(drained, step.reason)
            if step.state != "moved":
                time.sleep(min(_POLL_SECONDS, max(0.0, deadline - monotonic())))

    def _left(self, drained: int, reason: str) -> DrainResult:
        try:
            left = self.count()
        except SpoolUnavailable as exc:
            return DrainResult(drained, 0, str(exc))
        return DrainResult(drained, left, (reason or "time was over") if left else "")

    def _probe(self, part: str) -> bool:
        """Whether a part of Redis takes a write as fast as a request needs."""
        if part not in self._failed:
            return True
        registration, number = self._failed[part]
        started = monotonic()
        try:
            shard = self.open_fleet().shard(registration.destination.queue, number)
            shard.set_limits(registration.limits, copy=registry.encode(registration))
        except VwoCeleryError:
            return False
        return monotonic() - started <= self._enqueue_seconds


class _LazyFleet:
    """Opens the queues in Redis at the first call, through a client with a timeout of its own."""

    def __init__(self, settings: Settings, client: Any, timeout_seconds: float) -> None:
        self._settings = settings
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._fleet: Fleet | None = None

    def __call__(self) -> Fleet:
        if self._fleet is None:
            client = self._client
            if client is None:
                url = self._settings.redis_url
                client = shared_client(url, timeout_seconds=self._timeout_seconds)
            else:
                client = twin_of(client, timeout_seconds=self._timeout_seconds)
            self._fleet = Fleet(client, self._settings.namespace)
        return self._fleet


_fallbacks: weakref.WeakValueDictionary[tuple[object, ...], Fallback] = (
    weakref.WeakValueDictionary()
)


def fallback_of(settings: Settings, client: Any = None) -> Fallback:
    """The one fallback of this process for a Redis, a namespace and a folder.

    Args:
        settings: Those of the queue that asks; of several queues, the first one's timeouts hold.
        client: The client that the queue was given instead of a URL.
    """
    key = (settings.redis_url, settings.namespace, settings.spool_dir, id(client))
    found = _fallbacks.get(key)
    if found is None:
        found = _fallbacks.setdefault(key, Fallback(settings, client))
    return found


class QueueFallback:
    """Keeps one queue's events that Redis did not take, or drops and counts them.

    Attributes:
        dropped: Number of events that this process dropped, by reason.
    """

    def __init__(self, registration: Registration, settings: Settings, fallback: Fallback) -> None:
        self.dropped: Counter[str] = Counter()
        self._registration = registration
        self._queue = registration.destination.queue
        self._policy = settings.when_full
        self._fallback = fallback

    def keep_sent(self, push: Push, exc: Exception) -> Receipt:
        """Spool the events of a failed push with its mark, since the push may have arrived.

        The mark must not be used again.

        Raises:
            QueueFull: See `keep`.
        """
        log_unforeseen(exc)
        self._fallback.note_failure(exc, self._registration, push.shard.number, push.part)
        mark = push.mark
        sent = Sent(push.shard.number, mark.id, mark.sequence, mark.life, mark.nonce)
        return self.keep(push.encoded, advise(exc), sent)

    def keep(
        self,
        encoded: Sequence[bytes],
        detail: str = "",
        sent: Sent | None = None,
        *,
        reason: str = "redis_unavailable",
    ) -> Receipt:
        """Spool events, or drop them if that fails.

        Args:
            encoded: The events, at most a page of them.
            detail: Answer of Redis, "" if it was not asked.
            sent: Shard and mark of a push that may have arrived; None for none.
            reason: Reason for dropping them if this host's disk cannot take them.

        Raises:
            QueueFull: The spool is full, and `when_full` is "raise".
        """
        on_drop = self._drop_oldest if self._policy == "drop_oldest" else None
        detail = detail or self._fallback.diary.why
        why = f"{detail}; " if detail else ""
        try:
            self._fallback.put(self._registration, encoded, sent, on_drop=on_drop)
        except SpoolFull as exc:
            if self._policy == "raise":
                raise QueueFull(f"{len(encoded)} events not stored: {why}{exc}") from exc
            return self.drop("spool_full", len(encoded), f"{why}{exc}")
        except SpoolUnavailable as exc:
            return self.drop(reason, len(encoded), f"{why}{exc}")
        except Exception as exc:
            log_surprise(exc, "its events are not spooled")
            return self.drop(reason, len(encoded), f"{why}the spool met {type(exc).__name__}")
        self._fallback.reporter.note(self._queue, reports.SPOOLED, len(encoded))
        self._fallback.diary.note_kept(len(encoded), detail)
        return SPOOLED

    def drop(self, reason: str, count: int, detail: str) -> Receipt:
        """Count and announce events that are kept nowhere; return their receipt."""
        self._count_dropped(self._queue, reason, count)
        announce_drop(self._queue, reason, count, detail)
        return Receipt(where="dropped", reason=reason)

    def _count_dropped(self, queue: str, reason: str, count: int) -> None:
        self.dropped[reason] += count
        self._fallback.reporter.note(queue, f"{reports.UNACCEPTED}{reason}", count)
        self._fallback.diary.note_lost(queue, reason, count)

    def _drop_oldest(self, queue: str, count: int) -> None:
        self._count_dropped(queue, reports.SPOOL_OLDEST, count)
        announce_drop(
            queue, reports.SPOOL_OLDEST, count,
            "the spool is full, and when_full is drop_oldest; see why Redis is away, or raise "
            "max_spool_bytes",
        )  # fmt: skip
