"""The listener in a worker's main process: when it sweeps instead of beat."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import redis as redis_py
from celery import Celery

from lua.world import LIMITS
from tools.waiting import wait_until
from vwo_celery.celery.setup import setup
from vwo_celery.celery.worker.listener import Listener
from vwo_celery.celery.worker.stopping import stopping
from vwo_celery.operating.looks import stalls
from vwo_celery.queue.fleet import Fleet

SWEEP_SECONDS = 60.0


class Parent(NamedTuple):
    """The parts of Celery's worker that the listener uses."""

    app: Celery


@pytest.fixture
def start(redis_url: str) -> Iterator[Any]:
    """Start a listener whose broker is this process, and stop it after the test."""
    started = []

    def start_one() -> Celery:
        app = Celery(broker="memory://", set_as_current=False)
        setup(app, redis_url=redis_url, sweep_interval_seconds=SWEEP_SECONDS)
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
