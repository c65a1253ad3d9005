"""The lane of last resort: a thread that delivers while no task does.

Stages 3 to 6 of an event's way, outside Celery: the listener uses it while the broker takes no task,
no task runs, or those that run decline a queue. Its single thread lives while there is something to
send. If the process dies, the lease of the one batch that it holds runs out.
"""

from __future__ import annotations

import threading

from vwo_celery.delivering import delivery
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import VwoCeleryError
from vwo_celery.logs import log
from vwo_celery.queue.words.registration import Wakeup


class Lane:
    """Deliver for wake-ups one after the other, in a thread of its own.

    Args:
        worker: The worker to deliver with; its `wake` may call `add`.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._waiting: dict[Wakeup, bool] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, wakeup: Wakeup, *, for_lack_of_tasks: bool = True) -> None:
        """Deliver for this wake-up soon; a sign of life tells if it is for lack of tasks."""
        with self._lock:
            self._waiting[wakeup] = (
                for_lack_of_tasks  # each gives back its own slot, even of one shard
            )
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="vwo-celery-lane", daemon=True
                )
                self._thread.start()

    def finish(self, timeout_seconds: float) -> None:
        """Wait for the batch that is being sent, once the worker is stopping."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)

    def _run(self) -> None:
        while (found := self._next()) is not None:
            wakeup, for_lack_of_tasks = found
            try:
                if for_lack_of_tasks:
                    self._worker.fleet.note_rescue()
                delivery.deliver(self._worker, wakeup, lambda: bool(self._waiting))
            except VwoCeleryError as exc:
                log.warning("queue %s is not delivered from here: %s", wakeup.queue, exc)
            except Exception:
                log.exception("queue %s is not delivered from here", wakeup.queue)

    def _next(self) -> tuple[Wakeup, bool] | None:
        with self._lock:
            if not self._waiting or self._worker.stopping():
                self._waiting.clear()
                self._thread = None
                return None
            wakeup = next(iter(self._waiting))
            return wakeup, self._waiting.pop(wakeup)
