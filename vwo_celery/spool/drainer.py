"""The drainer: a daemon thread that empties this host's spool, and runs only while it is needed.

Beside stage 1 of an event's way. The thread tests Redis by moving the oldest page, and closes the
breaker when that works, so no request has to wait for the test. It ends when the spool is empty and
the breaker closed. A fork does not copy it: a child starts its own when it needs one. If the
process dies, the pages that it had not moved are on disk, for the drainer of any other process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from vwo_celery.clocks import monotonic
from vwo_celery.forks import PerProcess
from vwo_celery.logs import log
from vwo_celery.spool.breaker import Breakers, pause_seconds
from vwo_celery.spool.drain import Drain, Step


class _Running:
    """A process' drainer thread, and the lock under which it starts and ends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None


class Drainer:
    """Starts the thread when asked to; at most one in a process.

    Args:
        drain: Moves the pages.
        breakers: Closed by the thread when Redis, or a part of a Cluster, works again.
        probe: A weak reference to a function that returns whether a part takes writes as fast as a
            request needs, and must not raise; None once no queue is left that needs to know.
    """

    def __init__(
        self,
        drain: Drain,
        breakers: Breakers,
        probe: Callable[[], Callable[[str], bool] | None],
    ) -> None:
        self._drain = drain
        self._breakers = breakers
        self._probe = probe
        self._probes: dict[str, tuple[int, float]] = {}  # failures, and when the next may be
        self._running = PerProcess(_Running)

    def ensure(self) -> None:
        """Start the thread unless it runs.

        If this process cannot start one, other processes drain, or `drain_spool`.
        """
        running = self._running.get()
        # Without the lock `_end` may look just before an event is spooled, and the thread end just after.
        with running.lock:
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
            log.info("Redis takes events again%s", f" at {part}" if part else "")
            return
        self._probes[part] = failures + 1, monotonic() + pause_seconds(failures + 1)

    def _end(self) -> bool:
        """Whether nothing is left to do; `ensure` then starts another thread when one is needed."""
        running = self._running.get()
        with running.lock:
            if self._breakers.open_parts() or self._drain.holds_something:
                return False
            running.thread = None
            return True
