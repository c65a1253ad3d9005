"""Failover under Sentinel: a replica becomes the master, and no program restarts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from tools.producers import connect
from tools.redis_groups import Replicated, SentinelGroup, client_of
from tools.under_load import LoadedInstallation
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.snapshots import take_snapshot
from vwo_celery.receipts import IN_REDIS
from vwo_celery.testing import Standin

#: Less than a worker's retry time, which a client that keeps trying the old master would use up.
SOON_SECONDS = 9.0
pytestmark = pytest.mark.declared_keys("broker:*")


@pytest.fixture
def group(tmp_path: Path) -> Iterator[SentinelGroup]:
    """A master, two replicas, three Sentinels."""
    with SentinelGroup(tmp_path) as running:
        yield running


@contextmanager
def cut_off(group: SentinelGroup) -> Iterator[None]:
    """Keep the replicas from receiving the master's new writes."""
    _name_to_master(group, "nobody", "wrong")
    with client_of(group.master) as client:
        client.execute_command("CLIENT KILL TYPE replica")
    yield
    _name_to_master(group, "", "")


def _name_to_master(group: SentinelGroup, user: str, password: str) -> None:
    """Set the login with which the replicas ask for the master's data."""
    for replica in group.replicas:
        with client_of(replica) as client:
            client.config_set("masteruser", user)
            client.config_set("masterauth", password)


def test_failover_while_events_flow(
    group: SentinelGroup, redis_url: str, standin: Standin, tmp_path: Path
) -> None:
    """Producers and the worker find the new master; what Redis still has is delivered, and the
    ledger counts the rest.
    """
    with LoadedInstallation(group.url, redis_url, standin, tmp_path) as installation:
        worker = installation.worker()
        streams = [installation.stream(name) for name in ("a", "b")]
        for stream in streams:
            stream.wait_for_more()

        group.lose_master()

        for stream in streams:
            stream.wait_for_more()
        installation.wait_for_delivery(streams[0].stored()[-30:], SOON_SECONDS)
        stored = {name for stream in streams for name in stream.finish()}
        queue = installation.queue()
        assert queue.flush_events(15)
        found = installation.snapshot(queue)
        missing = stored - set(installation.delivered())
        assert len(missing) <= sum(found.dropped.values())
        assert set(found.dropped) <= {"redis_lost"}
        assert found.balanced
        assert worker.exit_code is None
        worker.stop()


def test_what_was_not_replicated_is_said_to_be_lost(group: SentinelGroup) -> None:
    """Events that only the old master acknowledged are lost and counted at the producer's next push."""
    queue = connect(group.url, spool_dir="")
    assert all(queue.enqueue({"n": n}) for n in range(25))
    assert _replicated(group, queue)
    with cut_off(group):
        assert all(queue.enqueue({"n": n}) for n in range(25, 31))
        group.master.kill()

    group.lose_master()

    assert queue.enqueue({"n": 31}) == IN_REDIS
    found = take_snapshot(producer_of(queue).shards[0])
    assert (found.accepted, found.dropped, found.pending) == (32, {"redis_lost": 6}, 26)
    assert found.balanced


def _replicated(group: SentinelGroup, queue: Any) -> bool:
    return bool(
        producer_of(queue).fleet.client.wait(len(group.replicas), 5000) == len(group.replicas)
    )


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP], ids=["gone", "silent"])
def test_one_sentinel_is_enough_to_find_the_master(
    group: SentinelGroup, fate: signal.Signals
) -> None:
    """Sentinels that do not answer cost a producer at most its deadline, and no event."""
    queue = connect(group.url, enqueue_timeout_seconds=2.0, spool_dir="")
    for sentinel in group.sentinels[:2]:
        os.kill(sentinel.pid, fate)
    started = time.monotonic()

    receipts = [queue.enqueue({"n": n}) for n in range(3)]

    assert time.monotonic() - started < SOON_SECONDS
    assert receipts == [IN_REDIS] * 3
    for sentinel in group.sentinels[:2]:
        os.kill(sentinel.pid, signal.SIGCONT)


def test_an_address_that_leads_to_a_new_master(tmp_path: Path) -> None:
    """After a host name moved to another server, one refused write renews all connections."""
    name = tmp_path / "redis.sock"
    with Replicated(1, "--unixsocket", "redis.sock") as pair:
        old, (new,) = pair.master, pair.replicas
        name.symlink_to(old.folder / "redis.sock")
        queue = connect(f"unix://{name}", spool_dir="")
        _use_connections(queue, 4)
        name.unlink()
        name.symlink_to(new.folder / "redis.sock")
        with client_of(old) as before, client_of(new) as after:
            after.replicaof("NO", "ONE")
            before.replicaof("127.0.0.1", str(new.port))

            assert not queue.enqueue({"n": "refused"})

            wait_until(
                lambda: (
                    [each["id"] for each in before.client_list(_type="normal")]
                    == [str(before.client_id())]
                ),
                10,
                what="the end of all connections but our own",
            )
            wait_until(lambda: queue.enqueue({"n": "new"}) == IN_REDIS, 10, what="the new master")
        with redis_py.Redis.from_url(new.url) as client:
            assert client.lindex(producer_of(queue).shards[0].keys.open, 0) == b'{"n":"new"}'


def _use_connections(queue: vwo_celery.Queue, number: int) -> None:
    """Open the given number of connections in a queue's pool."""
    pool = producer_of(queue).fleet.client.connection_pool
    with ExitStack() as stack:
        for _ in range(number):
            client = redis_py.Redis(connection_pool=pool, single_connection_client=True)
            stack.enter_context(client)
    assert queue.enqueue({"n": "old"}) == IN_REDIS
