"""The lane of last resort: a thread that delivers where no task does.

Stages 3 to 6 of an event's way, outside Celery. It has one thread, which lives while there is
something to send, and never sends more at once than tasks might. If the process dies, the lease of
its one batch runs out.
"""

from __future__ import annotations

import threading

from vwo_celery.delivering import delivery
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import VwoCeleryError
from vwo_celery.logs import log
from vwo_celery.queue import sweeping
from vwo_celery.queue.registration import Wakeup


class Lane:
    """Takes wake-ups and delivers for them, one after the other.

    Args:
        worker: With a `wake` that may well call `add`.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._waiting: dict[Wakeup, None] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, wakeup: Wakeup) -> None:
        """Deliver for this wake-up soon."""
        with self._lock:
            self._waiting[wakeup] = None  # each, also of the same shard, gives its slot back
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="vwo-celery-lane", daemon=True
                )
                self._thread.start()

    def finish(self, timeout_seconds: float) -> None:
        """Wait for what is being sent, once the worker is stopping."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)

    def _run(self) -> None:
        while (wakeup := self._next()) is not None:
            try:
                with sweeping.going_on("a sign of life"):
                    self._worker.fleet.note_rescue()
                delivery.deliver(self._worker, wakeup)
            except VwoCeleryError as exc:
                log.warning("queue %s is not delivered from here: %s", wakeup.queue, exc)
            except Exception:
                log.exception("queue %s is not delivered from here", wakeup.queue)

    def _next(self) -> Wakeup | None:
        with self._lock:
            if not self._waiting or self._worker.stopping():
                self._waiting.clear()
                self._thread = None
                return None
            wakeup = next(iter(self._waiting))
            del self._waiting[wakeup]
            return wakeup
