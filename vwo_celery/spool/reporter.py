"""The reporter: tells Redis what this process dropped, spooled and drained, once Redis answers.

Beside stage 1 of an event's way. Where Redis is away, only the process itself can count; its numbers
are added to the queue's tally with a later call that reaches Redis, with a drain, and when the
process ends. A process that is killed before takes its numbers along, and no event.

Nothing here raises or waits for a lock: a signal handler may interrupt its own thread anywhere. A
forked child begins with no numbers, since its parent tells its own. A report whose answer was lost
is sent again unchanged, and Redis counts it once.
"""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Final

from vwo_celery.clocks import monotonic
from vwo_celery.errors import QueueUnavailable
from vwo_celery.forks import PerProcess
from vwo_celery.logs import log, log_surprise
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.reports import Count, Report, new_report, report

#: Shortest time, in seconds, between two reports of a queue; a drain's last one does not wait.
REPORT_EVERY_SECONDS: Final = 10.0
#: Notes that are kept before they are summed up.
_MOST_NOTES: Final = 1000

_Note = tuple[str, str, Count]


class _Numbers:
    """What one process has not told yet.

    Attributes:
        notes: Single notes (queue, name, events); adding one is one step, and so needs no lock.
        sums: Their sums, by queue and name.
        sent: Reports whose answer did not come, by queue; they are sent again before new ones.
        due_at: When each queue may be told of again.
    """

    def __init__(self) -> None:
        self.lock = Lock()  # never waited for
        self.notes: deque[_Note] = deque()
        self.sums: dict[str, dict[str, Count]] = {}
        self.sent: dict[str, Report] = {}
        self.due_at: dict[str, float] = {}

    def sum_up(self) -> None:
        """Add the notes to the sums; the caller holds the lock."""
        while True:
            try:
                queue, name, new = self.notes.popleft()
            except IndexError:
                return
            sums = self.sums.setdefault(queue, {})
            had = sums.get(name)
            sums[name] = (
                new if had is None else Count(had.events + new.events, had.first_at, new.last_at)
            )

    def queues(self) -> list[str]:
        """The queues of which something is to be told."""
        return list(dict.fromkeys([*self.sent, *self.sums]))

    def report_on(self, queue: str, shard: int) -> Report | None:
        """The report to send now."""
        told = self.sent.get(queue)
        if told is None and (counts := self.sums.pop(queue, None)):
            told = self.sent[queue] = new_report(shard, counts)
        return told


class Reporter:
    """Tells Redis of events that no script saw. Shared by a process' queues of one Redis.

    Args:
        open_fleet: Opens the queues in Redis for the report at the end of the process.

    Attributes:
        has_news: Whether there may be something to tell; a request looks at nothing else.
    """

    def __init__(self, open_fleet: Callable[[], Fleet]) -> None:
        self.has_news = False
        self._open_fleet = open_fleet
        self._numbers = PerProcess(_Numbers)

    def note(self, queue: str, name: str, events: int) -> None:
        """Note events, to be told of later; see `queue.records.reports` for the names."""
        now, numbers = monotonic(), self._numbers.get()
        numbers.notes.append((queue, name, Count(events, now, now)))
        self.has_news = True
        _with_news.add(self)
        if len(numbers.notes) > _MOST_NOTES and numbers.lock.acquire(blocking=False):
            try:
                numbers.sum_up()
            finally:
                numbers.lock.release()

    def is_due(self, queue: str) -> bool:
        """Whether a call that has reached Redis shall tell of its queue."""
        return self.has_news and monotonic() >= self._numbers.get().due_at.get(queue, 0.0)

    def tell_of(self, fleet: Fleet, queue: str, shard: int) -> None:
        """Tell Redis of one queue, if that is due. One round trip; a failure is left for later.

        Args:
            fleet: The queues in Redis.
            queue: The queue's name.
            shard: Number of the shard whose tally gets the numbers.
        """
        if self.is_due(queue):
            self._tell(fleet, lambda _: [queue], shard)

    def tell(self, fleet: Fleet, *, at_once: bool = False) -> None:
        """Tell Redis of all queues, until it does not answer.

        Args:
            fleet: The queues in Redis.
            at_once: Whether a queue is told of although it was a moment ago.
        """
        self._tell(fleet, _Numbers.queues, at_once=at_once)

    def _tell(
        self,
        fleet: Fleet,
        choose: Callable[[_Numbers], Iterable[str]],
        shard: int = 0,
        *,
        at_once: bool = False,
    ) -> None:
        try:
            numbers = self._numbers.get()
            if not numbers.lock.acquire(blocking=False):
                return
            try:
                numbers.sum_up()
                for queue in choose(numbers):
                    if at_once or monotonic() >= numbers.due_at.get(queue, 0.0):
                        _send(numbers, fleet, queue, shard)
                if not (numbers.sums or numbers.sent):
                    self._rest(numbers)
            finally:
                numbers.lock.release()
        except QueueUnavailable as exc:
            log.debug("numbers of dropped and spooled events are told later: %s", exc)
        except Exception as exc:
            log_surprise(exc, "numbers of dropped and spooled events are told later")

    def _rest(self, numbers: _Numbers) -> None:
        self.has_news = False
        _with_news.discard(self)
        if numbers.notes:  # by another thread, since they were summed up
            self.has_news = True
            _with_news.add(self)

    def tell_at_exit(self) -> None:
        """Tell what is left as this process ends, in one attempt."""
        if self._numbers.peek() is not None:
            self.tell(self._open_fleet(), at_once=True)


def _send(numbers: _Numbers, fleet: Fleet, queue: str, shard: int) -> None:
    told = numbers.report_on(queue, shard)
    if told is None:
        return
    now, owner = monotonic(), fleet.shard(queue, told.shard)
    numbers.due_at[queue] = now + REPORT_EVERY_SECONDS
    if fleet.on_part_of(owner, lambda: report(owner, told, now=now), False):
        numbers.sent.pop(queue, None)


#: The reporters with something to tell: a queue that the application has let go of still is told of.
_with_news: Final[set[Reporter]] = set()


@atexit.register
def _tell_all() -> None:
    for reporter in list(_with_news):
        reporter.tell_at_exit()
