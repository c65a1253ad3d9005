"""The drainer: a daemon thread that empties this host's spool, there only while it is needed.

Place: work, beside stage 1 of an event's way. It finds out whether Redis is back by moving the oldest
page, and closes the breaker, so that no request pays for the try. It ends when the spool is empty and
the breaker closed, or no queue asks any more. It dies with its process, and is not carried over a fork:
a child starts its own when it needs one. What it had not moved is on disk for any other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from vwo_celery.forks import PerProcess
from vwo_celery.logs import log
from vwo_celery.spool.breaker import Breaker, pause_seconds
from vwo_celery.spool.drain import Drain, Step


class _Running:
    """The thread of one process, and the lock under which it starts and ends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None


class Drainer:
    """Starts the thread when asked to, and at most one in a process.

    Args:
        drain: What it works with.
        breaker: What it closes.
        probe: Tells whether Redis takes writes as quickly as a request needs it; must not raise. None
            when no queue needs to know any more.
    """

    def __init__(
        self, drain: Drain, breaker: Breaker, probe: Callable[[], Callable[[], bool] | None]
    ) -> None:
        self._drain = drain
        self._breaker = breaker
        self._probe = probe
        self._running = PerProcess(_Running)

    def ensure(self) -> None:
        """Have it run; where this process can start no thread, others drain, or `drain_spool`."""
        running = self._running.get()
        with running.lock:  # or `_end` might have looked before there was something
            if running.thread is None or not running.thread.is_alive():
                running.thread = self._start()

    def _start(self) -> threading.Thread | None:
        thread = threading.Thread(target=self._run, name="vwo-celery-drainer", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # no more threads, or the interpreter is ending
            log.warning("the spool is not drained by this process: %s", exc)
            return None
        return thread

    def _run(self) -> None:
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
                log.exception("the drainer goes on")
            failures += 1
            self._drain.rest()
            time.sleep(pause_seconds(failures))

    def _step(self) -> Step:
        if self._breaker.is_open:
            self._breaker.leave_to_drainer(time.monotonic())
        step = self._drain.step()
        probe = self._probe()
        if self._breaker.is_open and step.state != "unavailable" and (probe is None or probe()):
            self._breaker.close()
            log.info("Redis takes events again")
        return step

    def _end(self) -> bool:
        """Whether nothing is left to do; what comes after that starts another thread."""
        running = self._running.get()
        with running.lock:
            if self._breaker.is_open or self._drain.holds_something:
                return False
            running.thread = None
            return True
