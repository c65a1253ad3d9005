"""Events leave in time without beat, and with a wrong clock in a worker."""

from __future__ import annotations

import email.utils
import os
import re
import signal
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

import vwo_celery
from tools.installation import Installation, event
from vwo_celery.producing.queue import producer_of
from vwo_celery.testing.standin.faults import Fault

SWEEP_SECONDS, INTERVAL_SECONDS = 1.0, 1
#: Extra time in seconds for a busy machine.
MARGIN_SECONDS = 6.0
SWEEPS = {"VWO_CELERY_SWEEP_INTERVAL_SECONDS": str(SWEEP_SECONDS)}
HOUR = 3600.0

#: Startup module that every Python runs first if it is on its path.
WRONG_CLOCK = """\
import pathlib, time
right, right_ns, file = time.time, time.time_ns, pathlib.Path({path!r})
time.time = lambda: right() + float(file.read_text())
time.time_ns = lambda: right_ns() + int(1e9 * float(file.read_text()))
"""


def seconds_to_leave(installation: Installation, queue: vwo_celery.Queue, name: str) -> float:
    """Seconds until an event leaves that waits for its interval."""
    started = time.monotonic()
    queue.enqueue(event(name))
    worker = installation.started[0]
    worker.wait_until(lambda: name in installation.delivered())
    return time.monotonic() - started


def swept_by_beat(installation: Installation, queue: vwo_celery.Queue) -> bool:
    """Whether beat's sweeps run."""
    return "beat" in producer_of(queue).fleet.last_sweeps_ms()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "stalled"])
def test_age_triggers_without_beat_within_two_sweeps(
    installation: Installation, how: signal.Signals
) -> None:
    """If beat dies or hangs, a listener takes over before two sweeps are missed."""
    installation.env |= SWEEPS
    worker, beat = installation.worker("--pool=threads"), installation.beat()
    queue = installation.connect(events_per_request=100, request_time_interval=INTERVAL_SECONDS)
    worker.wait_until(lambda: swept_by_beat(installation, queue))

    os.killpg(beat.pid, how)
    took = [seconds_to_leave(installation, queue, name) for name in "ab"]

    os.killpg(beat.pid, signal.SIGKILL)
    assert max(took) <= INTERVAL_SECONDS + 2 * SWEEP_SECONDS + MARGIN_SECONDS
    assert Counter(installation.delivered()) == {"a": 1, "b": 1}


def test_two_beats_do_no_harm(installation: Installation) -> None:
    """With two beats every sweep runs twice; each event leaves once, with those of its interval."""
    worker = installation.worker("--pool=threads")
    installation.beat()
    installation.beat("another")
    queue = installation.connect(events_per_request=100, request_time_interval=1)
    worker.wait_until(lambda: swept_by_beat(installation, queue))

    for batch in ("abc", "def"):
        queue.enqueue_many([event(name) for name in batch])
        worker.wait_until(lambda batch=batch: set(batch) <= set(installation.delivered()))

    assert installation.delivered() == list("abcdef")
    assert len(installation.standin.batches) == 2


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_worker_whose_clock_jumps(
    installation: Installation, jump: float, tmp_path: Path
) -> None:
    """A worker with a wrong clock works like any other: ages, leases and delays are Redis' time.

    An hour ahead, Celery discards beat's sweeps as expired, and the listener sweeps instead. Only a
    date in Retry-After is compared with the worker's clock, and the wait is bounded.
    """
    clock = tmp_path / "clock"
    clock.write_text("0")
    installation.env |= SWEEPS
    worker = installation.worker("--pool=threads", **wrong_clock(tmp_path, clock))
    installation.beat()
    queue = installation.connect(events_per_request=3, request_time_interval=INTERVAL_SECONDS)
    worker.wait_until(lambda: swept_by_beat(installation, queue))
    replace(clock, str(jump))
    soon = (("Retry-After", email.utils.formatdate(time.time() + 2, usegmt=True)),)
    installation.standin.fail(Fault(status=503, headers=soon))

    queue.enqueue_many([event(name) for name in "abc"])
    worker.wait_until(lambda: len(installation.delivered()) == 3)
    took = [seconds_to_leave(installation, queue, name) for name in "de"]

    assert max(took) <= INTERVAL_SECONDS + 2 * SWEEP_SECONDS + MARGIN_SECONDS
    assert Counter(installation.delivered()) == dict.fromkeys("abcde", 1)
    assert [report["attempt"] for report in installation.reports("released")] == [1]
    assert installation.snapshot(queue).balanced
    first, *_, last = re.findall(r"^\[(.{19}),\d+: ", worker.log(), re.MULTILINE)
    jumped = datetime.fromisoformat(last) - datetime.fromisoformat(first)
    assert abs(jumped.total_seconds() - jump) < HOUR / 2, "the worker's clock did not jump"


def wrong_clock(folder: Path, clock: Path) -> dict[str, str]:
    """Variables for a program whose clock is wrong by the offset in the file."""
    (folder / "sitecustomize.py").write_text(WRONG_CLOCK.format(path=str(clock)))
    here, package = Path(__file__).parent, Path(vwo_celery.__file__).parents[1]
    return {"PYTHONPATH": os.pathsep.join(map(str, [folder, here, package]))}


def replace(path: Path, text: str) -> None:
    """Replace a file in one step, for readers at any moment."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)
