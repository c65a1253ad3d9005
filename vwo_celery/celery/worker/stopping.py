"""The shutdown flag of a worker: one byte that all of its processes see at once.

Deliveries look at it between two batches, in a child of the pool, a thread or a
greenlet: a worker that is told to stop ends after the POSTs under way. Nothing is lost with the
process. Children that were not forked do not see the byte, and end after their tasks.
"""

from __future__ import annotations

import mmap
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

#: Signals that tell Celery's workers to stop.
_SIGNALS = ("SIGTERM", "SIGQUIT", "SIGINT")
#: Module of Celery's handlers; a handler from elsewhere may give the signal another meaning.
_CELERYS = "celery.apps.worker"
_FAILED = 1


class Stopping:
    """The shutdown flag; call it to ask whether the shutdown has begun."""

    def __init__(self) -> None:
        self._byte: mmap.mmap | None = None

    def __call__(self) -> bool:
        """Whether the shutdown has begun: then nothing new is started."""
        return self._byte is not None and self._byte[0] != 0

    def prepare(self) -> None:
        """Clear the flag; to be called in the main process before its pool forks."""
        self._byte = mmap.mmap(-1, 1)

    def begin(self) -> None:
        """Set the flag, for all processes of the worker."""
        if self._byte is not None:
            self._byte[0] = 1

    def watch_signals(self) -> None:
        """Set the flag at the first signal to stop, and pass the signal on to Celery.

        Celery announces a shutdown itself, but in a soft one only when its time is over; until then
        tasks would go on claiming.
        """
        if threading.current_thread() is not threading.main_thread():
            return  # a worker inside another program; its signals are not ours
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            handler = signal.getsignal(number) if number is not None else None
            if number is not None and getattr(handler, "__module__", "") == _CELERYS:
                signal.signal(number, self._before(handler, os.getpid()))

    def _before(self, handler: Any, owner: int) -> Callable[[int, Any], None]:
        def begin_and_pass_on(number: int, frame: Any) -> None:
            if os.getpid() == owner:  # a child may be told to stop alone
                self.begin()
            try:
                handler(number, frame)
            except Exception:
                _end_after_all()
                raise

        return begin_and_pass_on


def _end_after_all() -> None:
    """End the worker although Celery's handler failed.

    It fails at a cold shutdown of a pool that cannot cancel tasks. Before Celery 5.7 the worker then
    lived on and did nothing.
    """
    from celery.worker import state

    if state.should_stop is None and state.should_terminate is None:
        vars(state)["should_terminate"] = _FAILED


#: The flag of this worker.
stopping = Stopping()
