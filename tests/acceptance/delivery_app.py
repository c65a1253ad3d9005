"""The Celery app of the acceptance tests' workers: plain, except for what its variables set.
CELERY       more of Celery's settings, JSON.
CRASH_AT     "before_post", "after_post" (before the ack), "after_ack": the worker kills itself there with
             SIGKILL, once, the first time that the file CRASH_FILE does not exist.
RETRY        seconds for which the worker retries Redis commands, instead of its default.
REPORTS      a file to which each signal and each callback appends a line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from celery import Celery

import vwo_celery
from vwo_celery import signals
from vwo_celery.connections import clients
from vwo_celery.delivering import leases
from vwo_celery.sending import sender
from vwo_celery.sending.outcomes import Answer

if "RETRY" in os.environ:
    clients.WORKER_RETRY_SECONDS = float(os.environ["RETRY"])
settings = vwo_celery.Settings.load()
app = Celery("acceptance", broker=settings.effective_broker_url)
app.conf.update(
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": "broker:"},
    beat_max_loop_interval=1,
)
app.conf.update(json.loads(os.environ.get("CELERY", "{}")))
vwo_celery.setup(app, settings)

_REPORTS = os.environ.get("REPORTS")
_CRASH_AT = os.environ.get("CRASH_AT")


def _write(kind: str, **facts: Any) -> None:
    if _REPORTS:
        with Path(_REPORTS).open("a") as file:
            file.write(json.dumps({"kind": kind, "pid": os.getpid(), **facts}) + "\n")


def note_flush(error: str | None, events: list[Any]) -> None:
    """A flush_callback."""
    _write("callback", error=error, events=events)


def raise_flush(error: str | None, events: list[Any]) -> None:
    """A flush_callback that fails."""
    _write("callback", error=error, events=events)
    raise RuntimeError("the callback's own fault")


def raise_event(error: str | None, events: list[Any]) -> None:
    """A flush_callback whose error quotes an event."""
    _write("callback", error=error, events=events)
    raise RuntimeError(events[0]["u"])


def _note(kind: str) -> Any:
    def receiver(sender: str, report: signals.BatchReport, **_: Any) -> None:
        _write(
            kind, queue=sender, batch=report.batch, attempt=report.attempt, count=report.count,
            error=report.error, status=report.status, events=report.events,
        )  # fmt: skip
        if os.environ.get("RECEIVERS_RAISE"):
            raise RuntimeError("the receiver's own fault")

    return receiver


_receivers = [
    (signals.batch_delivered, _note("delivered")),
    (signals.batch_released, _note("released")),
    (signals.batch_dead_lettered, _note("dead_lettered")),
    (signals.destination_paused, _note("paused")),
]
for _signal, _receiver in _receivers:
    _signal.connect(_receiver)


def _crash_once() -> None:
    file = Path(os.environ["CRASH_FILE"])
    if not file.exists():
        file.touch()
        os.kill(os.getpid(), signal.SIGKILL)


_send, _ack = sender.Sender.send, leases.Lease.ack


def _send_and_crash(self: sender.Sender, body: bytes, *, events: int) -> Answer:
    if _CRASH_AT == "before_post":
        _crash_once()
    answer = _send(self, body, events=events)
    if _CRASH_AT == "after_post":
        _crash_once()
    return answer


def _ack_and_crash(self: leases.Lease, *counts: Any) -> bool:
    acked = _ack(self, *counts)
    _crash_once()
    return acked


if _CRASH_AT == "after_ack":
    leases.Lease.ack = _ack_and_crash  # type: ignore[method-assign]
elif _CRASH_AT:
    sender.Sender.send = _send_and_crash  # type: ignore[method-assign]
