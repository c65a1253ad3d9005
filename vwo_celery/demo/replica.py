"""One replica of a web application: visitors come, and each makes calls of VWO's own SDK.

    python -m vwo_celery.demo.replica --name 1 --vwo-url http://127.0.0.1:8080

The near end of an event's way. Of this, an application of your own needs
only `vwo_celery.init`, or `vwo_celery.attach` for a client it has already; the SDK is used as its
documentation says.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import deque
from pathlib import Path
from typing import Any

import click
import msgspec

import vwo_celery
from vwo_celery.demo.account import ACCOUNT_ID, ATTRIBUTE, EVENT, FLAG, SDK_KEY
from vwo_celery.demo.alive import note_life
from vwo_celery.demo.children import die_with_demo
from vwo_celery.demo.recording_queue import RecordingQueue
from vwo_celery.sdk.hook import hook_of

#: Events of one visit: two of get_flag, for its two rules, and one of each other call.
EVENTS_PER_VISIT = 4
_ALIVE_EVERY_SECONDS = 0.5
#: Longest delay that a replica catches up on after it fell behind its pace.
_MOST_BEHIND_SECONDS = 1.0


class ReplicaReport(msgspec.Struct, frozen=True):
    """The report of one replica.

    Attributes:
        name: Its name.
        call_seconds: Duration of each call of the SDK.
        enqueue_seconds: Duration of each enqueue within these calls.
        enqueued: Digest of each event with a receipt that promises delivery.
        dropped: Digest of each event with a receipt that says it was dropped.
    """

    name: str
    call_seconds: list[float]
    enqueue_seconds: list[float]
    enqueued: list[str]
    dropped: list[str]


class Replica:
    """Sends visitors at an even pace.

    Args:
        client: The SDK's client.
        name: Part of each visitor's id, so that no two replicas share one.
        measures: Whether to keep the duration of every call.

    Attributes:
        calls: Calls of the SDK so far.
        call_seconds: Duration of each, where they are kept.
        stopped: Set to True to end `run`.
    """

    def __init__(self, client: Any, name: str, *, measures: bool) -> None:
        self._client = client
        self._prefix = f"{name}-{socket.gethostname()}-{os.getpid()}-"
        self._visits = 0
        self.calls = 0
        self.call_seconds: deque[float] = deque(maxlen=None if measures else 0)
        self.stopped = False

    def run(self, *, seconds: float | None, visits_per_second: float, alive: Path | None) -> None:
        """Send visitors for *seconds*, or until `stopped`; leave signs of life in *alive*."""
        started = due = time.monotonic()
        alive_due = 0.0
        while not self.stopped and (seconds is None or due - started < seconds):
            self.visit()
            now = time.monotonic()
            if alive is not None and now >= alive_due:
                note_life(alive, self.calls)
                alive_due = now + _ALIVE_EVERY_SECONDS
            due = max(due + 1 / visits_per_second, now - _MOST_BEHIND_SECONDS)
            time.sleep(max(0.0, due - now))
        if alive is not None:
            note_life(alive, self.calls)

    def visit(self) -> None:
        """One visitor comes, is shown the flag, and buys."""
        self._visits += 1
        user = {"id": f"{self._prefix}{self._visits}", "ip_address": "203.0.113.7"}
        self._call(self._client.get_flag, FLAG, user)
        self._call(self._client.track_event, EVENT, user, {"amount": 5 + self._visits % 95})
        self._call(self._client.set_attribute, ATTRIBUTE, "gold", user)

    def _call(self, call: Any, *arguments: Any) -> None:
        started = time.perf_counter()
        call(*arguments)
        self.call_seconds.append(time.perf_counter() - started)
        self.calls += 1


@click.command()
@click.option("--name", default="1", show_default=True)
@click.option("--vwo-url", required=True, help="URL of the stand-in for VWO.")
@click.option("--visits-per-second", default=10.0, show_default=True)
@click.option("--seconds", type=float, help="How long visitors come; else until SIGTERM.")
@click.option("--events-per-request", default=100, show_default=True)
@click.option("--request-time-interval", default=5, show_default=True, help="Seconds.")
@click.option("--alive", type=click.Path(path_type=Path), help="File for signs of life.")
@click.option("--report", type=click.Path(path_type=Path), help="File for the report, at the end.")
def main(
    name: str,
    vwo_url: str,
    visits_per_second: float,
    seconds: float | None,
    events_per_request: int,
    request_time_interval: int,
    alive: Path | None,
    report: Path | None,
) -> None:
    """Play one replica of a web application that uses VWO's FME SDK on the shared queue."""
    die_with_demo()
    client = vwo_celery.init(
        {
            "sdk_key": SDK_KEY,
            "account_id": ACCOUNT_ID,
            "proxy_url": vwo_url,
            "batch_event_data": {
                "events_per_request": events_per_request,
                "request_time_interval": request_time_interval,
            },
        },
        strict=True,
    )
    recording = _record_receipts(client) if report is not None else None
    replica = Replica(client, name, measures=report is not None)
    signal.signal(signal.SIGTERM, lambda *_: setattr(replica, "stopped", True))
    replica.run(seconds=seconds, visits_per_second=visits_per_second, alive=alive)
    if report is not None and recording is not None:
        written = ReplicaReport(
            name,
            list(replica.call_seconds),
            recording.enqueue_seconds,
            recording.enqueued,
            recording.dropped_events,
        )
        report.write_bytes(msgspec.json.encode(written))


def _record_receipts(client: Any) -> RecordingQueue:
    """Replace the client's queue by one that records receipts: for the report only."""
    hook = hook_of(client)
    assert hook is not None, "init attached the client"
    recording = RecordingQueue(hook.queue)
    hook.queue = recording
    return recording


if __name__ == "__main__":
    main(prog_name="python -m vwo_celery.demo.replica")
