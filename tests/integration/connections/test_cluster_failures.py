"""Nodes of a Redis Cluster that die, hang or are not there yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.clusters import (
    SHARDS,
    connect_to,
    ledger,
    slot_of,
)
from tools.producers import SOON_SECONDS
from tools.redis_groups import ClusterGroup, client_of, cluster_port
from tools.round_trips import round_trips_by_server
from tools.under_load import LoadedInstallation
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import IN_REDIS
from vwo_celery.testing import RedisServer, Standin

pytestmark = pytest.mark.declared_keys("broker:*")


@pytest.fixture
def mortal() -> Iterator[ClusterGroup]:
    """Three masters, of which the first has a replica."""
    with ClusterGroup(3, 1) as running:
        yield running


def test_a_replica_takes_over(
    mortal: ClusterGroup, redis_url: str, standin: Standin, tmp_path: Path
) -> None:
    """A master is killed: its replica serves its shards, and no program is restarted."""
    with LoadedInstallation(
        mortal.url, redis_url, standin, tmp_path, shards=SHARDS
    ) as installation:
        _lose_a_master(mortal, installation)


def _lose_a_master(group: ClusterGroup, installation: LoadedInstallation) -> None:
    worker = installation.worker()
    streams = [installation.stream(name) for name in ("a", "b")]
    for stream in streams:
        stream.wait_for_more()
    queue = installation.queue()
    dead, heir = group.nodes[0], group.nodes[-1]
    assert any(group.owner_of(slot_of(group, shard)) is dead for shard in producer_of(queue).shards)

    dead.kill()
    with client_of(heir) as client:
        wait_until(lambda: client.info("replication")["role"] == "master", 15, what="the takeover")

    for stream in streams:
        stream.wait_for_more(100)
    stored = {name for stream in streams for name in stream.finish()}
    assert queue.flush_events(15)
    found = ledger(queue)
    assert len(stored - set(installation.delivered())) <= found.dropped
    assert found.balanced
    assert worker.exit_code is None


def test_a_node_that_hangs(mortal: ClusterGroup) -> None:
    """A push to a hanging node fails in time: redis-py's own retries are off."""
    queue = connect_to(mortal.url, enqueue_timeout_seconds=1.0)
    assert producer_of(queue).register()
    owner = mortal.owner_of(slot_of(mortal, producer_of(queue).shards[0]))
    owner.pause()
    started = time.monotonic()

    receipt = queue.enqueue({"n": 0})

    assert time.monotonic() - started < 2 * SOON_SECONDS
    assert (receipt.where, receipt.reason) == ("dropped", "redis_unavailable")
    owner.resume()


def test_a_part_that_nobody_serves() -> None:
    """Slots that nobody serves hold up only the shards in them."""
    with ClusterGroup(1, 0, "--cluster-require-full-coverage", "no") as group:
        queue = connect_to(group.url)
        slot = slot_of(group, producer_of(queue).shards[0])
        with client_of(group.nodes[0]) as client:
            client.execute_command("CLUSTER DELSLOTS", (slot + 1) % 16_384)

        assert queue.enqueue({"n": 0}) == IN_REDIS


def test_a_first_call_on_a_cluster_that_is_down() -> None:
    """No command is repeated while nobody holds its slot: redis-py would sleep before each."""
    with ClusterGroup(1) as group:
        with client_of(group.nodes[0]) as client:
            client.execute_command("CLUSTER DELSLOTS", 0)
            wait_until(lambda: _state(client) == "fail", 15, what="the state")
        queue = connect_to(group.url, shards=8)

        with round_trips_by_server() as sent:
            receipt = queue.enqueue({"n": 0})

    assert (receipt.where, receipt.reason) == ("dropped", "redis_unavailable")
    assert sum(sent.values()) <= 8


def _state(client: Any) -> str:
    return str(client.cluster("INFO")["cluster_state"])


def test_a_cluster_that_is_away_is_no_error_of_connecting() -> None:
    """An application starts without its cluster; enqueue says so, and stores once it is there."""
    port = cluster_port()
    queue = connect_to(f"redis+cluster://127.0.0.1:{port}")

    receipt = queue.enqueue({"n": 0})

    assert (receipt.where, receipt.reason) == ("dropped", "redis_unavailable")
    with RedisServer(port=port, arguments=("--cluster-enabled", "yes")) as server:
        with client_of(server) as client:
            client.execute_command("CLUSTER ADDSLOTS", *range(16_384))
        wait_until(lambda: queue.enqueue({"n": 1}) == IN_REDIS, 10, what="a push")
