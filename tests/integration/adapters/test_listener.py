"""The listener in a worker's main process: when it sweeps instead of beat."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis as redis_py
from celery import Celery

from lua.world import LIMITS
from tools.waiting import wait_until
from vwo_celery.celery.setup import setup
from vwo_celery.celery.worker.listener import Listener, _Loop
from vwo_celery.celery.worker.stopping import stopping
from vwo_celery.operating.looks import stalls
from vwo_celery.operating.looks.alive import SignOfLife, read_sign
from vwo_celery.queue.fleet import Fleet
from vwo_celery.testing import free_port

SWEEP_SECONDS = 60.0


class Parent(NamedTuple):
    """The parts of Celery's worker that the listener uses."""

    app: Celery


@pytest.fixture
def start(redis_url: str) -> Iterator[Any]:
    """Start a listener whose broker is this process, and stop it after the test."""
    started = []

    def start_one(broker: str = "memory://", **settings: Any) -> Celery:
        app = Celery(broker=broker, set_as_current=False)
        setup(app, **{"redis_url": redis_url, "sweep_interval_seconds": SWEEP_SECONDS, **settings})
        listener = Listener(Parent(app))
        listener.start(Parent(app))
        started.append((listener, Parent(app)))
        return app

    yield start_one
    for listener, parent in started:
        listener.close(parent)
        listener.stop(parent)
    wait_until(lambda: not any("listener" in t.name for t in threading.enumerate()), 10)
    stopping.prepare()


def swept_by_beat(fleet: Fleet, sweeps_ago: float) -> None:
    """Set the time of beat's last sweep to the given number of seconds ago."""
    at = fleet.now_ms() - int(1000 * sweeps_ago * SWEEP_SECONDS)
    fleet.client.hset(fleet.keys.pulse, "beat", at)


@pytest.mark.parametrize("sweeps_ago", [1.01, -60], ids=["late", "ahead"])
def test_it_sweeps_before_a_sweep_is_late(
    redis: redis_py.Redis, start: Any, sweeps_ago: float
) -> None:
    """The listener sweeps if the last sweep is an interval ago, or its time lies ahead because Redis'
    clock stepped back.
    """
    fleet = Fleet(redis, "vwo")
    swept_by_beat(fleet, sweeps_ago)

    start()

    wait_until(lambda: "listener" in fleet.last_sweeps_ms(), 10)


@pytest.mark.declared_keys("watched", "open")
def test_its_sweep_samples_the_counters(redis: redis_py.Redis, start: Any) -> None:
    """The listener's sweep writes each watched queue's history."""
    fleet = Fleet(redis, "vwo")
    shard = fleet.shard("fme-1-a", 0)
    shard.set_limits(LIMITS)
    fleet.watch(shard.keys.name)
    redis.lpush(shard.keys.open, "{}")

    start()

    wait_until(lambda: redis.xlen(shard.keys.minutes) == 1, 10)


@pytest.mark.declared_keys("wakeups")
def test_it_leaves_the_sweep_to_others(redis: redis_py.Redis, start: Any) -> None:
    """The listener does not sweep if somebody did half an interval ago."""
    fleet = Fleet(redis, "vwo")
    swept_by_beat(fleet, 0.5)

    app = start()
    for number in range(2):  # it checks the sweeps before it takes a wake-up
        fleet.leave_wakeups("legacy-1-a", number, ["token"])
        with app.connection_for_read() as connection:
            connection.SimpleQueue("celery").get(timeout=10).ack()

    assert "listener" not in fleet.last_sweeps_ms()


def test_it_looks_for_a_stall_only_after_the_silence_that_makes_one(
    redis: redis_py.Redis, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches may be old when a worker starts: its own tasks get their turn before the listener."""
    looks: list[float] = []
    monkeypatch.setattr(stalls, "silence_seconds", lambda _: 1.0)
    monkeypatch.setattr(stalls, "find_stall", lambda *_: looks.append(time.monotonic()))

    started = time.monotonic()
    start()

    wait_until(lambda: looks, 20)
    assert looks[0] - started >= 1.0


@pytest.mark.declared_keys("wakeups")
def test_the_message_shows_queue_and_shard_only(redis: redis_py.Redis, start: Any) -> None:
    """Flower shows a message's repr of its arguments: names that a person knows, and no token."""
    fleet = Fleet(redis, "vwo")
    app = start()

    fleet.leave_wakeups("legacy-1-a", 3, ["token"])

    with app.connection_for_read() as connection:
        message = connection.SimpleQueue("celery").get(timeout=10)
        message.ack()
    assert message.headers["argsrepr"] == "('legacy-1-a', 3)"
    assert message.payload[0] == ["legacy-1-a", 3, "token"]


def next_sign(file: Path) -> SignOfLife:
    """Wait for a sign of life that was not there before."""
    file.unlink(missing_ok=True)
    return wait_until(lambda: read_sign(file), 20, what="a sign of life")


@pytest.mark.declared_keys("wakeups")
def test_it_gives_a_sign_of_life_in_each_turn(
    redis: redis_py.Redis, start: Any, tmp_path: Path
) -> None:
    """The file holds the name under which the worker listens, and is written again and again."""
    file = tmp_path / "alive"

    start(alive_file=str(file))
    signs = [next_sign(file) for _ in range(3)]

    (name,) = Fleet(redis, "vwo").listeners()
    assert [sign.text for sign in signs] == [name] * 3


@pytest.mark.declared_keys("wakeups", "slots")
def test_a_broker_that_is_away_keeps_no_listener_from_its_sign(
    redis: redis_py.Redis, start: Any, tmp_path: Path
) -> None:
    """While no task can be published, the worker is alive: to restart it would help nobody."""
    file = tmp_path / "alive"
    start(broker=f"redis://127.0.0.1:{free_port()}", alive_file=str(file))
    for number in range(5):
        Fleet(redis, "vwo").leave_wakeups("legacy-1-a", number, ["token"])

        assert next_sign(file)


def test_a_redis_that_is_away_keeps_no_listener_from_its_sign(start: Any, tmp_path: Path) -> None:
    """Without Redis, too."""
    file = tmp_path / "alive"
    start(redis_url=f"redis://127.0.0.1:{free_port()}", alive_file=str(file))

    assert [next_sign(file).text for _ in range(2)]


def test_a_listener_that_hangs_gives_no_sign(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps the listener's thread from its next turn keeps it from its sign."""
    file, turns, hang = tmp_path / "alive", threading.Semaphore(0), threading.Event()
    monkeypatch.setattr(_Loop, "_serve_once", lambda _: (turns.release(), hang.wait(60)))
    start(alive_file=str(file))
    assert turns.acquire(timeout=10)
    file.unlink()

    hangs = not file.exists()
    hang.set()

    assert hangs
    assert next_sign(file)


def test_a_sign_that_cannot_be_given_is_told_and_harms_nothing(
    redis: redis_py.Redis, start: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that cannot be written is one warning; the listener listens."""
    start(alive_file=str(tmp_path / "missing" / "alive"))

    wait_until(lambda: Fleet(redis, "vwo").listeners(), 10)
    assert [m for m in caplog.messages if m.startswith("the sign of life cannot be written")]
