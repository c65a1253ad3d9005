"""The listener: a thread of every worker's main process that turns wake-ups into `deliver` tasks.

Place: an adapter. It waits in one blocking pop, so that a full batch leaves at once and an idle
worker asks nothing; and it runs the sweep itself where beat has been silent for too long. If it dies,
other workers' listeners go on; without any, beat's sweep finds what is ready.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import Any

from celery import bootsteps

from vwo_celery import triggers
from vwo_celery.connections import open_worker_client
from vwo_celery.errors import VwoCeleryError
from vwo_celery.fleet import Fleet
from vwo_celery.tasks import publish, settings_of

log = logging.getLogger("vwo_celery")

#: Longest wait for a wake-up: how late a shutdown, or the absence of beat, is noticed.
_WAIT_SECONDS = 1.0
_NOTE_SECONDS = 5.0
#: Sweeps that beat may miss before a listener takes over.
_MISSED_SWEEPS = 2
_PAUSE_AFTER_ERROR_SECONDS = 1.0


class Listener(bootsteps.StartStopStep):
    """Celery's handle on the listener: starts and stops with the worker's consumer."""

    requires = ("celery.worker.consumer:Tasks",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._loop: _Loop | None = None

    def start(self, parent: Any) -> None:
        """Called when the consumer is connected to the broker, at each reconnection again."""
        if self._loop is None or not self._loop.is_alive():
            self._loop = _Loop(parent.app)
            self._loop.start()

    def stop(self, parent: Any) -> None:
        """Called when the consumer goes, for good or to reconnect."""
        if self._loop is not None:
            self._loop.stop()
            self._loop = None

    terminate = stop


class _Loop(threading.Thread):
    """Waits for wake-ups until it is stopped."""

    def __init__(self, app: Any) -> None:
        super().__init__(name="vwo-celery-listener", daemon=True)
        self.app = app
        self.settings = settings_of(app)
        self.fleet = Fleet(open_worker_client(self.settings.redis_url), self.settings.namespace)
        self.listener = f"{socket.gethostname()}:{os.getpid()}"
        self._stopping = threading.Event()
        self._note_due = self._sweep_check_due = 0.0

    def stop(self) -> None:
        """Ask it to end; it does within _WAIT_SECONDS."""
        self._stopping.set()

    def run(self) -> None:
        """Serve until stopped, whatever goes wrong."""
        while not self._stopping.is_set():
            try:
                self._serve_once()
            except VwoCeleryError as exc:
                log.warning("the listener goes on: %s", exc)
                self._stopping.wait(_PAUSE_AFTER_ERROR_SECONDS)
            except Exception:
                log.exception("the listener goes on")
                self._stopping.wait(_PAUSE_AFTER_ERROR_SECONDS)
        self._say_goodbye()

    def _serve_once(self) -> None:
        now = time.monotonic()
        if now >= self._note_due:
            with triggers.going_on("a sign of life"):
                self.fleet.note_listener(self.listener)
            self._note_due = now + _NOTE_SECONDS
        wakeup = self.fleet.next_wakeup(_WAIT_SECONDS)
        if wakeup is not None:
            publish(self.app, wakeup)
        if now >= self._sweep_check_due:
            self._sweep_if_overdue()
            self._sweep_check_due = now + self.settings.sweep_interval_seconds

    def _sweep_if_overdue(self) -> None:
        interval_ms = 1000 * self.settings.sweep_interval_seconds
        last = max(self.fleet.last_sweeps_ms().values(), default=0)
        if self.fleet.now_ms() - last > (1 + _MISSED_SWEEPS) * interval_ms:
            for found in triggers.sweep(self.fleet, self.settings, by="listener"):
                publish(self.app, found)

    def _say_goodbye(self) -> None:
        try:
            self.fleet.forget_listener(self.listener)
        except VwoCeleryError as exc:
            log.debug("the listener's note expires by itself: %s", exc)
