"""The drainer: a daemon thread that empties this host's spool, and runs only while it is needed.

Beside stage 1 of an event's way. The thread tests Redis by moving the oldest page, and closes the
breaker when that works, so no request has to wait for the test. It ends when the spool is empty and
the breaker closed. A fork does not copy it: a child starts its own when it needs one. Nothing here
waits for a lock: a signal handler may interrupt its own thread anywhere. If the process dies, the
pages that it had not moved are on disk, for the drainer of any other process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from sys import is_finalizing

from vwo_celery.clocks import monotonic
from vwo_celery.forks import PerProcess
from vwo_celery.logs import log
from vwo_celery.spool.breaker import Breakers, pause_seconds
from vwo_celery.spool.diary import Diary
from vwo_celery.spool.drain import Drain, Step


class _Place:
    """The place of a process' one drainer thread; taking it is one step of a dict, and so atomic.

    Attributes:
        wanted: Whether anyone has asked for the thread since it last looked whether it may end.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._taken: dict[str, object] = {}

    def take(self) -> bool:
        """Take the place; False if another thread runs, or is about to."""
        me = object()
        return self._taken.setdefault("drainer", me) is me

    def leave(self) -> None:
        """Let another thread take the place."""
        self._taken.pop("drainer", None)


class Drainer:
    """Starts the thread when asked to; at most one in a process.

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

    def ensure(self) -> None:
        """Start the thread unless it runs.

        If this process cannot start one, other processes drain, or `drain_spool`.
        """
        place = self._place.get()
        place.wanted = True
        # While the interpreter ends no thread begins, and Python 3.10 and 3.11 wait for it for ever.
        if not is_finalizing() and place.take():
            self._start(place)

    def _start(self, place: _Place) -> None:
        thread = threading.Thread(target=self._run, name="vwo-celery-drainer", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # no more threads, or the interpreter is ending
            place.leave()
            log.warning("the spool is not drained by this process: %s", exc)
        except BaseException:  # raised by a signal handler
            if thread.ident is None:
                place.leave()
            raise

    def _run(self) -> None:
        try:
            self._work()
        except BaseException:  # such as the end of a greenlet
            self._place.get().leave()
            raise

    def _work(self) -> None:
        failures = 0
        while True:
            try:
                step = self._step()
                if step.state == "moved":
                    failures = 0
                    continue
                if step.state == "empty" and self._end():
                    return
            except Exception:
                log.exception("the drainer goes on after an unexpected error")
            failures += 1
            self._drain.rest()
            time.sleep(pause_seconds(failures))

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
        """Whether this thread ends, since nothing is left to do; it has left its place then.

        An event that is spooled after the look is followed by an `ensure`, which either finds the
        place free or makes the thread go on.
        """
        place = self._place.get()
        place.wanted = False
        if self._breakers.open_parts() or self._drain.holds_something:
            return False
        place.leave()
        return not (place.wanted and place.take())
