"""The drainer: empties this host's spool in a daemon thread, which runs only while it is needed.

Beside stage 1 of an event's way. A process has a drainer for each Redis, namespace and folder, and few
threads for all of them, on which they take turns. A drainer tests Redis by moving the oldest page, and
closes the breaker when that works, so no request has to wait for the test. It ends when the spool is
empty and the breaker closed. A fork does not copy it: a child starts its own when it needs one. Nothing
here waits for a lock: a signal handler may interrupt its own thread anywhere. If the process dies, the
pages that it had not moved are on disk, for the drainer of any other process.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from sys import is_finalizing

from vwo_celery.clocks import monotonic
from vwo_celery.forks import PerProcess
from vwo_celery.logs import log
from vwo_celery.spool.breaker import Breakers, pause_seconds
from vwo_celery.spool.diary import Diary
from vwo_celery.spool.drain import Drain, Step

#: Most threads of a process' drainers.
MOST_THREADS = 16


class _Threads:
    """The threads of a process' drainers; each step is one of a dict or a deque, and so atomic.

    Attributes:
        waiting: The drainers whose turn has yet to come.
    """

    def __init__(self) -> None:
        self.waiting: deque[Drainer] = deque()
        self._taken: dict[int, object] = {}

    def start(self) -> None:
        """Start a thread for the drainers that wait, unless there are enough.

        Raises:
            RuntimeError: This process cannot have more, or it ends.
        """
        me = object()
        free = (n for n in range(MOST_THREADS) if self._taken.setdefault(n, me) is me)
        if (number := next(free, None)) is None:
            return
        thread = threading.Thread(
            target=self._serve, args=(number,), name="vwo-celery-drainer", daemon=True
        )
        try:
            thread.start()
        finally:
            if thread.ident is None:  # as also where a signal handler raised
                self._taken.pop(number, None)

    def _serve(self, number: int) -> None:
        try:
            while self.waiting:
                try:
                    drainer = self.waiting.popleft()
                except IndexError:  # another thread was quicker
                    break
                if drainer.take_turn(self.waiting):
                    self.waiting.append(drainer)
        finally:
            self._taken.pop(number, None)
            if self.waiting and not is_finalizing():  # came after the last look
                with suppress(RuntimeError):
                    self.start()


_threads = PerProcess(_Threads)


class _Place:
    """The place of a drainer in its process; taking it is one step of a dict, and so atomic.

    Attributes:
        wanted: Whether anyone has asked for the drainer since it last looked whether it may end.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._taken: dict[str, object] = {}

    def take(self) -> bool:
        """Take the place; False if the drainer runs, or waits for its turn."""
        me = object()
        return self._taken.setdefault("drainer", me) is me

    def leave(self) -> None:
        """Let another one take the place."""
        self._taken.pop("drainer", None)


class Drainer:
    """Starts when asked to; it runs in at most one thread of a process at a time.

    Args:
        drain: Moves the pages.
        breakers: Closed by the thread when Redis, or a part of a Cluster, works again.
        probe: A weak reference to a function that returns whether a part takes writes as fast as a
            request needs, and must not raise; None once no queue is left that needs to know.
        diary: Is told that a part takes events again.
    """

    def __init__(
        self,
        drain: Drain,
        breakers: Breakers,
        probe: Callable[[], Callable[[str], bool] | None],
        diary: Diary,
    ) -> None:
        self._drain = drain
        self._breakers = breakers
        self._probe = probe
        self._diary = diary
        self._probes: dict[str, tuple[int, float]] = {}  # failures, and when the next may be
        self._place = PerProcess(_Place)
        self._failures, self._due = 0, 0.0  # steps that moved nothing, and when the next is due

    def ensure(self) -> None:
        """Start unless it runs.

        If this process cannot start one, other processes drain, or `drain_spool`.
        """
        place = self._place.get()
        place.wanted = True
        # While the interpreter ends no thread begins, and Python 3.10 and 3.11 wait for it for ever.
        if not is_finalizing() and place.take():
            self._start(place)

    def _start(self, place: _Place) -> None:
        threads = _threads.get()
        threads.waiting.append(self)
        try:
            threads.start()
        except RuntimeError as exc:  # no more threads, or the interpreter is ending
            self._give_up(place, threads)
            log.warning("the spool is not drained by this process: %s", exc)
        except BaseException:  # raised by a signal handler
            self._give_up(place, threads)
            raise

    def _give_up(self, place: _Place, threads: _Threads) -> None:
        with suppress(ValueError):  # a thread has taken it
            threads.waiting.remove(self)
            place.leave()

    def take_turn(self, waiting: Collection[Drainer]) -> bool:
        """Drain until the end, or, while others wait, until a pause or the next page.

        Returns:
            Whether it must go on later.
        """
        try:
            time.sleep(max(0.0, self._due - monotonic()))
            while not self._is_done():
                if waiting:
                    return True
                time.sleep(max(0.0, self._due - monotonic()))
        except BaseException:  # such as the end of a greenlet
            self._place.get().leave()
            raise
        return False

    def _is_done(self) -> bool:
        """Take one step; whether nothing is left to do. The next step is due after a pause."""
        try:
            step = self._step()
            if step.state == "moved":
                self._failures, self._due = 0, 0.0
                return False
            if step.state == "empty" and self._end():
                self._failures, self._due = 0, 0.0
                return True
        except Exception:
            log.exception("the drainer goes on after an unexpected error")
        self._failures += 1
        self._drain.rest()
        self._due = monotonic() + pause_seconds(self._failures)
        return False

    def _step(self) -> Step:
        for part in self._breakers.open_parts():
            self._breakers.at(part).leave_to_drainer(monotonic())
        step = self._drain.step()
        if step.state != "unavailable":
            for part in self._breakers.open_parts():
                self._try(part)
        return step

    def _try(self, part: str) -> None:
        """Close a part's breaker if the part takes writes again; else ask it more and more seldom."""
        failures, due = self._probes.get(part, (0, 0.0))
        if part and monotonic() < due:  # a part that hangs must not hold up the drain of others
            return
        probe = self._probe()
        if probe is None or probe(part):
            self._probes.pop(part, None)
            self._breakers.at(part).close()
            self._diary.note_recovered(part)
            return
        self._probes[part] = failures + 1, monotonic() + pause_seconds(failures + 1)

    def _end(self) -> bool:
        """Whether it ends, since nothing is left to do; it has left its place then.

        An event that is spooled after the look is followed by an `ensure`, which either finds the
        place free or makes it go on.
        """
        place = self._place.get()
        place.wanted = False
        if self._breakers.open_parts() or self._drain.holds_something:
            return False
        place.leave()
        return not (place.wanted and place.take())
