"""Whether this worker is about to end: one byte that all of its processes see at once.

Place: adapters. Whoever delivers looks at it between two batches, in a child of the pool, a thread or
a greenlet: so a worker that is told to stop ends with the POSTs that are under way. Nothing is lost
with the process. Children that are not made by fork do not see the byte, and end with their tasks.
"""

from __future__ import annotations

import mmap
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

#: What Celery's workers are told to stop by.
_SIGNALS = ("SIGTERM", "SIGQUIT", "SIGINT")
#: Where its handlers are; another one may mean the signal differently.
_CELERYS = "celery.apps.worker"
_FAILED = 1


class Stopping:
    """Whether the shutdown has begun: call it."""

    def __init__(self) -> None:
        self._byte: mmap.mmap | None = None

    def __call__(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._byte is not None and self._byte[0] != 0

    def prepare(self) -> None:
        """Start afresh; to be called in the main process before its pool forks."""
        self._byte = mmap.mmap(-1, 1)

    def begin(self) -> None:
        """From now on the worker is stopping, for all of its processes."""
        if self._byte is not None:
            self._byte[0] = 1

    def watch_signals(self) -> None:
        """Begin at the first signal to stop, and leave the rest to Celery, which handles it.

        Celery has a signal of its own for this, but sends it only when a soft shutdown's time is
        over, and until then tasks would go on claiming.
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
    """Have the worker end though Celery's handler failed.

    It does at a cold shutdown of a pool that cannot cancel tasks, and before Celery 5.7 the worker
    then lived on, without doing anything any more.
    """
    from celery.worker import state

    if state.should_stop is None and state.should_terminate is None:
        vars(state)["should_terminate"] = _FAILED


#: This worker's.
stopping = Stopping()
