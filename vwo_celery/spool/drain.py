"""The way from this host's spool into Redis: page by page, in order, each stored once.

Place: work; stage 1 of an event's way, later. Any process that has the drain lock may do it. A page is
pushed under the mark that is on disk for it, its queue's batches are sealed at once if it was the last
(who waited for Redis shall not wait for a batch to fill), and only then it is removed. If the process
dies anywhere in between, the next drainer repeats the page, and Redis stores it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from vwo_celery.connections.errors import (
    REDIS_ERRORS,
    describe,
    is_error_reply,
    is_timeout,
    is_trouble_of_redis,
)
from vwo_celery.errors import QueueUnavailable, SpoolUnavailable
from vwo_celery.queue import sweeping
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.pushes import PUSH_EVENTS, Push, names_needed, send_again
from vwo_celery.queue.shard import (
    DUPLICATE,
    NOT_REGISTERED,
    REFUSALS,
    STORED,
    TOO_FEW_NAMES,
    Pushed,
)
from vwo_celery.queue.sweeping import tell_workers
from vwo_celery.spool.breaker import longest_pause_seconds
from vwo_celery.spool.files import DrainLock
from vwo_celery.spool.pages import Page
from vwo_celery.spool.spool import Spool

_STORED = (STORED, DUPLICATE)


class Step(NamedTuple):
    """What became of one look at the spool.

    Attributes:
        state: "moved": a page went to Redis; "empty"; "elsewhere": another drainer is at it;
            "waiting": what is left is of queues that Redis does not take now; "unavailable": Redis
            or the spool cannot be used.
        events: Events that were moved.
        reason: Why not all of them.
    """

    state: Literal["moved", "empty", "elsewhere", "waiting", "unavailable"]
    events: int = 0
    reason: str = ""


class Drain:
    """Moves pages from one spool into Redis; one thread at a time.

    Args:
        spool: From where.
        lock: What every drainer of that spool takes.
        open_fleet: Opens the Redis, with a client that is patient.
        clock: Seconds, from any start.
    """

    def __init__(
        self,
        spool: Spool,
        lock: DrainLock,
        open_fleet: Callable[[], Fleet],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._lock = lock
        self._open_fleet = open_fleet
        self._clock = clock
        self._redis_answers = False
        self._most_events: dict[str, int] = {}
        self._waiting: dict[str, tuple[int, float, str]] = {}

    @property
    def holds_something(self) -> bool:
        """Whether there may be something to drain."""
        return self._spool.holds_something

    def step(self) -> Step:
        """Move the oldest page that can be moved; raises nothing that is foreseen."""
        try:
            if not self._spool.holds_something:
                return Step("empty")
            if not self._lock.acquire():
                return Step("elsewhere", reason="another process drains it")
            try:
                return self._step()
            finally:
                self._lock.release()
        except (SpoolUnavailable, QueueUnavailable) as exc:
            self._redis_answers = False
            return Step("unavailable", reason=str(exc))
        except REDIS_ERRORS as exc:
            self._redis_answers = False
            return Step("unavailable", reason=describe(exc))

    def rest(self) -> None:
        """Use a pause to tidy up what those who spool left for it."""
        self._spool.checkpoint()

    def _step(self) -> Step:
        now = self._clock()
        self._check_redis()
        waiting = {queue: why for queue, (_, until, why) in self._waiting.items() if until > now}
        page = self._spool.take(skip=waiting, most_events=self._most_events)
        if page is not None:
            return self._move(page)
        if not waiting and self._spool.tidy():
            return Step("empty")
        return Step("waiting", reason="; ".join(waiting.values()) or "a queue cannot be read")

    def _check_redis(self) -> None:
        """Mark no page before Redis answers: one that was sent cannot make room any more."""
        fleet = self._open_fleet()
        if not self._redis_answers and not fleet.in_cluster:
            fleet.ping()
            self._redis_answers = True

    def _move(self, page: Page) -> Step:
        fleet = self._open_fleet()
        try:
            return self._try(fleet, page)
        except (QueueUnavailable, *REDIS_ERRORS) as exc:
            cause = exc.__cause__ if isinstance(exc, QueueUnavailable) else exc
            # Of a Cluster one node may be away: that is about the queues it has.
            if is_trouble_of_redis(cause) and not fleet.in_cluster:
                raise
            return self._wait(page, str(exc) if exc is not cause else describe(exc))

    def _try(self, fleet: Fleet, page: Page) -> Step:
        try:
            page, push, pushed = self._push(fleet, page)
        except REDIS_ERRORS as exc:
            if is_trouble_of_redis(exc):
                self._unmark(page, exc)
            raise
        if pushed.code in REFUSALS:
            return self._refused(page)
        if pushed.code not in _STORED:
            return self._wait(page, "Redis keeps losing the registration")
        tell_workers(fleet, push.shard, push.token, pushed)
        self._settle(fleet, page)
        return Step("moved", len(page.encoded))

    def _unmark(self, page: Page, exc: Exception) -> None:
        """Let a page that was marked for a push that Redis refused be any events again."""
        if page.is_new and is_error_reply(exc):
            self._spool.put_back(page)

    def _push(self, fleet: Fleet, page: Page) -> tuple[Page, Push, Pushed]:
        """Push a page, registered and under a mark that Redis can make sense of."""
        if _is_forgotten(fleet, page):
            page = self._spool.mark_anew(page)
        push, pushed = _send(fleet, page)
        if pushed.code == NOT_REGISTERED:
            fleet.register(page.registration)
            push, pushed = _send(fleet, page)
        if pushed.code == NOT_REGISTERED:  # its mark is of a life that Redis forgot
            page = self._spool.mark_anew(page)
            push, pushed = _send(fleet, page)
        return page, push, pushed

    def _settle(self, fleet: Fleet, page: Page) -> None:
        if page.is_last:
            seal(fleet, page)
        self._spool.remove(page)
        self._waiting.pop(page.queue, None)
        most = self._most_events.pop(page.queue, PUSH_EVENTS)
        if most < PUSH_EVENTS:
            self._most_events[page.queue] = 2 * most

    def _refused(self, page: Page) -> Step:
        """A full queue may have room for a smaller page; for none at all, others go first."""
        self._spool.put_back(page)
        half = len(page.encoded) // 2
        self._most_events[page.queue] = max(1, half)
        if half:
            return Step("moved")
        return self._wait(page, f"queue {page.queue} is at its capacity")

    def _wait(self, page: Page, why: str) -> Step:
        failures = self._waiting.get(page.queue, (0, 0.0, ""))[0] + 1
        until = self._clock() + longest_pause_seconds(failures)
        self._waiting[page.queue] = (failures, until, why)
        return Step("waiting", reason=why)


def _send(fleet: Fleet, page: Page) -> tuple[Push, Pushed]:
    """Send a page under its mark; what was sent, and the answer."""
    shard = fleet.shard(page.queue, page.sent.shard)
    push = Push(
        shard, page.mark, page.encoded, names_needed(page.registration.limits, page.encoded)
    )
    pushed = _send_push(push)
    if pushed.code == TOO_FEW_NAMES:  # the queue has been registered with smaller batches
        push = push._replace(names=len(page.encoded) + 1)
        pushed = _send_push(push)
    return push, pushed


def _send_push(push: Push) -> Pushed:
    try:
        return push.send()
    except REDIS_ERRORS as exc:
        if is_timeout(exc):
            raise  # the page is taken again
        return send_again(push, exc)


def _is_forgotten(fleet: Fleet, page: Page) -> bool:
    """Whether a mark that was used before expired meanwhile.

    Under it, all that was ever pushed with it would count as lost. If this page was stored with it so
    long ago, it is stored again: nothing is left that could tell.
    """
    age_seconds = time.time() - page.spooled_ms / 1000
    if page.sent.sequence == len(page.encoded) or age_seconds < page.mark.ttl_seconds / 2:
        return False
    return not fleet.shard(page.queue, page.sent.shard).mark_is_kept(page.sent.mark)


def seal(fleet: Fleet, page: Page) -> None:
    """Have all that is open in a page's queue leave now.

    Raises:
        QueueUnavailable: Redis did not answer; the page stays, and is settled again.
    """
    for number in range(page.registration.shards):
        wakeups, _ = sweeping.sweep_shard(fleet.shard(page.queue, number), force=True)
        fleet.leave_wakeups(page.queue, number, [wakeup.token for wakeup in wakeups])
