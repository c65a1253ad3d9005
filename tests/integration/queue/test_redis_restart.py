"""Redis restarts: with its file, with an old file, empty, or without its scripts.

Producers and workers are not restarted, and continue by themselves.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

from tools.producers import connect
from tools.under_load import LoadedInstallation
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.testing import RedisServer, Standin

pytestmark = pytest.mark.declared_keys("broker:*")


@pytest.fixture
def kept() -> Iterator[RedisServer]:
    """A Redis that keeps every acknowledged write."""
    with RedisServer(appendonly=True) as server:
        yield server


@pytest.fixture
def forgetful() -> Iterator[RedisServer]:
    """A Redis that comes back empty."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def installation(
    kept: RedisServer, redis_url: str, standin: Standin, tmp_path: Path
) -> Iterator[LoadedInstallation]:
    """An installation with the Redis that keeps its data."""
    with LoadedInstallation(kept.url, redis_url, standin, tmp_path) as served:
        yield served


@pytest.fixture
def forgotten(
    forgetful: RedisServer, redis_url: str, standin: Standin, tmp_path: Path
) -> Iterator[LoadedInstallation]:
    """An installation with the Redis that forgets its data."""
    with LoadedInstallation(forgetful.url, redis_url, standin, tmp_path) as served:
        yield served


def test_killed_and_back_with_its_file(installation: LoadedInstallation, kept: RedisServer) -> None:
    """Back with its file after a kill, Redis has lost nothing; nothing is sent twice or restarted."""
    installation.worker()
    installation.beat()
    streams = [installation.stream(name) for name in ("a", "b")]
    for stream in streams:
        stream.wait_for_more()

    kept.kill()
    kept.start()

    for stream in streams:
        stream.wait_for_more(200)
    stored = [name for stream in streams for name in stream.finish()]
    installation.wait_for_delivery(stored)
    assert installation.sent_twice() == {}
    queue = installation.queue()
    assert queue.flush_events(10)
    assert installation.snapshot(queue).balanced
    assert installation.snapshot(queue).dropped == {}


def test_away_for_longer_than_a_worker_waits(
    installation: LoadedInstallation, kept: RedisServer
) -> None:
    """A worker that stopped retrying works again once Redis is back.

    A batch whose ack it gave up is claimed again when its short lease has run out.
    """
    leases = {"VWO_CELERY_LEASE_SECONDS": "2.5", "VWO_CELERY_REQUEST_TIMEOUT_SECONDS": "2"}
    worker = installation.worker(RETRY="0.5", **leases)
    installation.beat()
    stream = installation.stream("a")
    stream.wait_for_more()

    kept.kill()
    worker.wait_for_log("Redis cannot be used since")
    worker.wait_for_log("QueueUnavailable")
    kept.start()

    stream.wait_for_more(100)
    installation.wait_for_delivery(stream.finish())
    assert worker.exit_code is None
    assert installation.queue().flush_events(10)
    assert installation.snapshot(installation.queue()).balanced


def test_scripts_forgotten_while_events_flow(
    installation: LoadedInstallation, kept: RedisServer
) -> None:
    """After SCRIPT FLUSH, producers and workers load the scripts again; no event is lost or doubled."""
    installation.worker()
    stream = installation.stream("a")
    stream.wait_for_more()
    queue = installation.queue()

    for _ in range(3):
        with redis_py.Redis.from_url(kept.url) as admin:
            admin.script_flush()
        stream.wait_for_more(40)

    installation.wait_for_delivery(stream.finish())
    assert {where for where, _ in stream.receipts().values()} == {"redis"}
    assert installation.sent_twice() == {}
    assert queue.flush_events(10)
    assert installation.snapshot(queue).balanced


def test_back_without_its_last_seconds(kept: RedisServer, tmp_path: Path) -> None:
    """The ledger counts the events that Redis acknowledged and lost, once the producer pushes again."""
    queue = connect(kept.url, spool_dir="")
    assert all(queue.enqueue({"n": n}) for n in range(30))
    saved = tmp_path / "saved"
    shutil.copytree(kept.folder, saved)
    assert all(queue.enqueue({"n": n}) for n in range(30, 37))

    kept.kill()
    shutil.rmtree(kept.folder)
    shutil.copytree(saved, kept.folder)
    kept.start()

    assert queue.enqueue({"n": 37})
    found = take_snapshot(producer_of(queue).shards[0])
    assert (found.accepted, found.dropped, found.pending) == (38, {"redis_lost": 7}, 31)
    assert found.balanced


def test_back_with_nothing(forgotten: LoadedInstallation, forgetful: RedisServer) -> None:
    """After Redis came back empty, the next enqueue registers the queue again, and all goes on."""
    forgotten.worker()
    stream = forgotten.stream("a")
    stream.wait_for_more()
    queue = forgotten.queue()

    forgetful.kill()
    forgetful.start()

    stream.wait_for_more(100)
    after = stream.stored()[-60:]
    stream.finish()
    forgotten.wait_for_delivery(after)
    wait_until(producer_of(queue).fleet.listeners, 10, what="the worker's sign of life")
    assert list(producer_of(queue).fleet.registrations().readable) == [queue.name]
    assert forgotten.sent_twice() == {}
    assert queue.flush_events(10)
    found = forgotten.snapshot(queue)
    assert found.balanced
    assert found.forgotten_ms
