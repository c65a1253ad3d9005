"""A drain: the pages of this host's spool go to Redis, in order, and each is stored once.

Stage 1 of an event's way, delayed. Any process may do it, for a file at a time whose lock it holds;
the lock ends after some seconds, so that one that stands still holds up nobody. A page is pushed
under its mark on disk, so two drainers may do the same page. After a queue's last page in a file
its open events are sealed at once, since events that have waited for Redis shall not wait for a
batch to fill too. Only then is the page removed: if the process dies before that, the next drainer
repeats the page, and Redis stores it once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, NamedTuple

from vwo_celery.clocks import monotonic, unix_ms
from vwo_celery.connections.errors import (
    describe,
    is_error_reply,
    is_timeout,
    is_trouble_of_redis,
    log_unforeseen,
)
from vwo_celery.errors import QueueUnavailable, SpoolUnavailable
from vwo_celery.forks import PerProcess
from vwo_celery.logs import seldom
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.parts import part_of
from vwo_celery.queue.records.reports import DRAINED
from vwo_celery.queue.words.answers import (
    CLONED,
    DUPLICATE,
    NOT_REGISTERED,
    REFUSALS,
    STORED,
    TOO_FEW_NAMES,
    Pushed,
)
from vwo_celery.queue.words.marks import uptime_seconds
from vwo_celery.queue.work import sweeping
from vwo_celery.queue.work.pushes import PUSH_EVENTS, Place, Push, names_needed, send_again
from vwo_celery.queue.work.sweeping import tell_workers
from vwo_celery.spool.breaker import longest_pause_seconds
from vwo_celery.spool.database import SpoolBusy, SpoolDamaged, SpoolGone
from vwo_celery.spool.diary import Diary
from vwo_celery.spool.locks import locks_at, place_of_draining
from vwo_celery.spool.pages import Page
from vwo_celery.spool.reporter import Reporter
from vwo_celery.spool.spool import Spool
from vwo_celery.spool.spool_file import PageTaken

#: Longest wait for other writers of a file; those of other files wait meanwhile.
_TAKE_TIMEOUT_SECONDS = 0.5
_STORED = (STORED, DUPLICATE)


class Step(NamedTuple):
    """The result of one step of a drain.

    Attributes:
        state: "moved": a page went to Redis; "empty"; "elsewhere": another drainer is at work;
            "waiting": the remaining pages belong to queues that Redis refuses at the moment, or are
            in files that cannot be used; "unavailable": Redis cannot be used.
        events: Number of events moved.
        reason: Why the spool is not empty, "" for none.
    """

    state: Literal["moved", "empty", "elsewhere", "waiting", "unavailable"]
    events: int = 0
    reason: str = ""


class Drain:
    """Moves pages from one spool into Redis; one thread at a time.

    Args:
        spool: The spool to drain.
        open_fleet: Returns the queues in Redis, through a client that waits longer than a request
            may.
        reporter: Is told of what was drained, and tells Redis of that and more.
        diary: Is told that the spool is empty.
        clock: Seconds, from any start.
    """

    def __init__(
        self,
        spool: Spool,
        open_fleet: Callable[[], Fleet],
        reporter: Reporter,
        diary: Diary,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._spool = spool
        self._locks = locks_at(spool.files.lock)
        self._turn = PerProcess(threading.Lock)  # keeps out this process' other threads
        self._open_fleet = open_fleet
        self._reporter = reporter
        self._diary = diary
        self._clock = clock
        self._redis_answers = False
        self._most_events: dict[str, int] = {}
        self._waiting: dict[str, tuple[int, float, str]] = {}
        self._resting: dict[str, tuple[int, float, str]] = {}

    @property
    def holds_something(self) -> bool:
        """Whether the spool may hold events."""
        return self._spool.holds_something

    def step(self) -> Step:
        """Move the oldest page that can be moved; expected errors become the step's state."""
        kept = self._diary.kept
        step = self._try_step()
        if step.state == "empty":
            self._diary.note_empty(kept)
        return step

    def _try_step(self) -> Step:
        try:
            if not self._spool.holds_something:
                return Step("empty")
            turn = self._turn.get()
            if not turn.acquire(blocking=False):
                return Step("elsewhere", reason="another thread drains it")
            try:
                step = self._step()
                if self._reporter.has_news:  # Redis has just answered
                    self._reporter.tell(self._open_fleet(), at_once=step.state == "empty")
                return step
            finally:
                turn.release()
        except SpoolUnavailable as exc:
            return Step("waiting", reason=str(exc))
        except QueueUnavailable as exc:
            self._redis_answers = False
            return Step("unavailable", reason=str(exc))
        except Exception as exc:
            log_unforeseen(exc)
            self._redis_answers = False
            return Step("unavailable", reason=describe(exc))

    def rest(self) -> None:
        """Use a pause to copy the WAL, which requests left to the drainer."""
        self._spool.checkpoint()

    def _step(self) -> Step:
        self._check_redis()
        left = []
        for path in self._spool.paths():
            step = self._step_of(path)
            if step.state == "moved":
                return step
            if step.state != "empty":
                left.append(step)
        if not left:
            return Step("empty")
        reason = "; ".join(dict.fromkeys(step.reason for step in left))
        is_elsewhere = all(step.state == "elsewhere" for step in left)
        return Step("elsewhere" if is_elsewhere else "waiting", reason=reason)

    def _step_of(self, path: str) -> Step:
        """Move a page of one file, under its lock; a file that cannot be used rests for a while."""
        failures, until, why = self._resting.get(path, (0, 0.0, ""))
        if until > self._clock():
            return Step("waiting", reason=why)
        place = place_of_draining(path)
        if not self._locks.acquire(place):
            return Step("elsewhere", reason="another process drains it")
        try:
            step = self._step_in(path)
        except PageTaken as exc:
            return Step("elsewhere", reason=str(exc))
        except SpoolUnavailable as exc:
            until = self._clock() + longest_pause_seconds(failures + 1)
            self._resting[path] = failures + 1, until, str(exc)
            if not isinstance(exc, SpoolBusy | SpoolDamaged | SpoolGone):
                seldom.warn(
                    f"drain {path}",
                    "events that this host's disk keeps cannot be moved to Redis now: %s; they are moved "
                    "by themselves once the disk can be used", exc,
                )  # fmt: skip
            return Step("waiting", reason=str(exc))
        finally:
            self._locks.release(place)
        self._resting.pop(path, None)
        return step

    def _step_in(self, path: str) -> Step:
        now = self._clock()
        waiting = {queue: why for queue, (_, until, why) in self._waiting.items() if until > now}
        page = self._spool.take(
            skip=waiting,
            most_events=self._most_events,
            path=path,
            timeout_seconds=_TAKE_TIMEOUT_SECONDS,
        )
        if page is not None:
            return self._move(page)
        if self._spool.tidy(path):
            return Step("empty")
        return Step("waiting", reason="; ".join(waiting.values()) or "a queue cannot be read")

    def _check_redis(self) -> None:
        """Ask Redis before a page is marked, since a marked one cannot be dropped to make room."""
        fleet = self._open_fleet()
        if not self._redis_answers and not fleet.in_cluster:
            fleet.ping()
            self._redis_answers = True

    def _move(self, page: Page) -> Step:
        fleet = self._open_fleet()
        part = part_of(fleet.client, fleet.shard(page.queue, page.sent.shard).keys.meta)
        if part and fleet.hints.is_resting(part):
            if page.is_new:
                self._spool.put_back(page)
            return self._wait(page, f"{part} is away")
        try:
            return self._store(fleet, page)
        except SpoolUnavailable:
            raise
        except Exception as exc:
            if part:
                fleet.hints.rest(part)
            cause = exc.__cause__ if isinstance(exc, QueueUnavailable) else exc
            # In a Cluster one node may be away, which concerns only the queues on it.
            if is_trouble_of_redis(cause) and not fleet.in_cluster:
                raise
            if exc is not cause:
                return self._wait(page, str(exc))
            log_unforeseen(exc)
            return self._wait(page, describe(exc))

    def _store(self, fleet: Fleet, page: Page) -> Step:
        try:
            page, push, pushed = self._push(fleet, page)
        except Exception as exc:
            if is_trouble_of_redis(exc):
                self._unmark(page, exc)
            raise
        if pushed.code in REFUSALS:
            return self._refused(page)
        if pushed.code not in _STORED:
            return self._wait(page, "Redis keeps losing the registration")
        tell_workers(fleet, push.shard, push.token, pushed)
        self._forget_page(fleet, page)
        return Step("moved", len(page.encoded))

    def _unmark(self, page: Page, exc: Exception) -> None:
        """Unmark a page of this step if Redis refused its push with an error reply."""
        if page.is_new and is_error_reply(exc):
            self._spool.put_back(page)

    def _push(self, fleet: Fleet, page: Page) -> tuple[Page, Push, Pushed]:
        """Push a page, after registering its queue or marking it anew where Redis needs that."""
        if _is_forgotten(fleet, page):
            page = self._spool.mark_anew(page)
        push, pushed = _send(fleet, page)
        if pushed.code == NOT_REGISTERED:
            fleet.register(page.registration, _lives_of(page))
            push, pushed = _send(fleet, page)
        # Its mark belongs to a life that Redis forgot, or a clone of its process has used the mark.
        if pushed.code in (NOT_REGISTERED, CLONED):
            page = self._spool.mark_anew(page)
            push, pushed = _send(fleet, page)
        return page, push, pushed

    def _forget_page(self, fleet: Fleet, page: Page) -> None:
        if page.is_last:
            seal(fleet, page)
        if self._spool.remove(page):
            self._reporter.note(page.queue, DRAINED, len(page.encoded))
        self._waiting.pop(page.queue, None)
        most = self._most_events.pop(page.queue, PUSH_EVENTS)
        if most < PUSH_EVENTS:
            self._most_events[page.queue] = 2 * most

    def _refused(self, page: Page) -> Step:
        """Halve the page of a full queue; if it is a single event, let other queues go first."""
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
    """Send a page under its mark; return the push and its answer.

    Raises:
        PageTaken: This process stood still for so long that another has taken the page, and Redis
            may forget its mark.
    """
    if uptime_seconds() - page.taken_at > page.mark.ttl_seconds / 2:
        raise PageTaken("another drainer has taken the page, since this one stood still")
    shard = fleet.shard(page.queue, page.sent.shard)
    names = names_needed(page.registration.limits, page.encoded)
    place = Place(more_follow=not page.is_last)
    push = Push(shard, page.mark, page.encoded, names, spooled=True, place=place)
    pushed = _send_push(push)
    if pushed.code == TOO_FEW_NAMES:  # another process registered smaller batches
        push = push._replace(names=len(page.encoded) + 1)
        pushed = _send_push(push)
    return push, pushed


def _send_push(push: Push) -> Pushed:
    try:
        return push.send()
    except Exception as exc:
        if is_timeout(exc):
            raise  # the next step takes the page again
        return send_again(push, exc)


def _lives_of(page: Page) -> list[str]:
    """The lives of the queue's shards that the page knows, so that the end of one is noted.

    Its producer may have no mark left of that life: the first push that failed took it along.
    """
    lives = [""] * page.registration.shards
    if page.sent.shard < len(lives):
        lives[page.sent.shard] = page.sent.life
    return lives


def _is_forgotten(fleet: Fleet, page: Page) -> bool:
    """Whether a mark that was used before this page has expired in Redis.

    Under it, all events ever pushed with it would count as lost. If this page was stored under it
    that long ago, it is stored again, since nothing is left that shows it.
    """
    age_seconds = (unix_ms() - page.spooled_ms) / 1000
    if page.sent.sequence == len(page.encoded) or age_seconds < page.mark.ttl_seconds / 2:
        return False
    return not fleet.shard(page.queue, page.sent.shard).mark_is_kept(page.sent.mark)


def seal(fleet: Fleet, page: Page) -> None:
    """Seal the open events of a page's queue, and wake workers for them.

    Raises:
        QueueUnavailable: Redis did not answer; the page stays, and is pushed again.
    """
    for number in sorted({*range(page.registration.shards), page.sent.shard}):
        wakeups = sweeping.sweep_shard(fleet.shard(page.queue, number), force=True)
        fleet.try_leaving_wakeups(page.queue, number, [wakeup.token for wakeup in wakeups])
