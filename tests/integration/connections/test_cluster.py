"""Redis Cluster: shards spread over nodes, and every kind of client and command."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import MaxConnectionsError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tools.clusters import (
    SHARDS,
    connect_to,
    events_in,
    ledger,
    slot_of,
)
from tools.command_line import run_command
from tools.producers import TIMEOUT_SECONDS, connect, worker_fleet
from tools.redis_groups import ClusterGroup, client_of
from tools.waiting import wait_until
from vwo_celery.connections import open_async_client, open_client, open_worker_client
from vwo_celery.connections.pools import MOST_CONNECTIONS
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.servers.writes import refused_write
from vwo_celery.queue.shard import Shard
from vwo_celery.receipts import IN_REDIS, SPOOLED

pytestmark = pytest.mark.declared_keys("broker:*")


def test_shards_lie_on_several_nodes(group: ClusterGroup) -> None:
    """A queue in several shards is stored on more than one master, and no event is missing."""
    queue = connect_to(group.url, shards=SHARDS)

    assert all(queue.enqueue({"n": n}) == IN_REDIS for n in range(50))

    owners = {group.owner_of(slot_of(group, shard)).port for shard in producer_of(queue).shards}
    assert len(owners) > 1
    assert sum(take_snapshot(shard).pending for shard in producer_of(queue).shards) == 50
    assert ledger(queue).balanced


def test_the_doctors_test_write_is_taken(group: ClusterGroup) -> None:
    """A Cluster that takes events is not said to refuse them, and the key of the test is gone."""
    queue = connect_to(group.url)

    assert refused_write(producer_of(queue).fleet) is None

    assert keys_of_test_writes(group) == []


def keys_of_test_writes(group: ClusterGroup) -> list[str]:
    """Keys of test writes, on every node."""
    keys: list[str] = []
    for node in group.masters:
        with client_of(node) as client:
            keys += client.keys("*:write")
    return keys


def test_asyncio_bounds_its_connections(group: ClusterGroup) -> None:
    """Of a hundred commands at once each gets its answer, by few connections to a node."""
    import asyncio

    with client_of(group.masters[0]) as observer:
        before = len(observer.client_list())

        async def run() -> tuple[list[Any], int]:
            client = open_async_client(group.url, timeout_seconds=60)
            await client.execute_command("GET", "vwo:1:{x}:mark:1")  # connects
            answers = await asyncio.gather(
                *(client.execute_command("GET", f"vwo:1:{{{n}}}:mark:1") for n in range(400))
            )
            more = len(observer.client_list()) - before
            await client.aclose()
            return answers, more

        answers, more = asyncio.run(run())

    assert answers == [None] * 400
    assert more <= MOST_CONNECTIONS + 1


def test_asyncio_gives_up_on_a_turn_in_time(group: ClusterGroup) -> None:
    """A command that finds all connections in use for too long raises what a full pool raises."""
    import asyncio

    async def run() -> list[Any]:
        client = open_async_client(f"{group.url}?max_connections=1", timeout_seconds=1)
        await client.execute_command("GET", "vwo:1:{x}:mark:1")
        blocked = asyncio.ensure_future(client.execute_command("BLPOP", "vwo:1:{x}:list", 0))
        await asyncio.sleep(0)
        answers = await asyncio.gather(
            client.execute_command("GET", "vwo:1:{x}:mark:1"), blocked, return_exceptions=True
        )
        await client.aclose()
        return list(answers)

    refused, unanswered = asyncio.run(run())

    assert isinstance(refused, MaxConnectionsError)
    assert isinstance(unanswered, RedisTimeoutError)


def test_what_was_spooled_goes_to_its_node(group: ClusterGroup, tmp_path: Path) -> None:
    """Once the cluster answers again, spooled events are stored behind those already there."""
    queue = connect(group.url, spool_dir=str(tmp_path), enqueue_timeout_seconds=TIMEOUT_SECONDS)
    wait_until(lambda: queue.enqueue({"n": 0}) == IN_REDIS, 10, what="a push")
    for node in group.masters:
        node.pause()
    receipts = [queue.enqueue({"n": n}) for n in range(1, 4)]
    for node in group.masters:
        node.resume()

    wait_until(lambda: queue.spooled() == 0, 20, what="an empty spool")

    assert receipts == [SPOOLED] * 3
    found = take_snapshot(producer_of(queue).shards[0])
    assert (found.accepted, found.balanced) == (4, True)
    assert worker_fleet(queue).client.hlen(producer_of(queue).shards[0].keys.meta)


def test_an_operator_has_every_command(group: ClusterGroup) -> None:
    """Each command that changes queues does so on a Cluster, too."""
    queue = connect_to(group.url, {"events_per_request": 1, "request_time_interval": 600}, shards=2)
    assert all(queue.enqueue_many({"n": n} for n in range(4)))
    (waiting, *_) = [
        batch for shard in producer_of(queue).shards for batch in take_snapshot(shard).batches
    ]
    said = []

    for words in (
        ("pause", "--all", "--reason", "maintenance"), ("resume", "--all"),
        ("dead", "add", "--batch", waiting.id), ("dead", "list"), ("dead", "redrive"),
        ("dead", "add", "--batch", waiting.id), ("dead", "purge", "--yes"),
        ("retry", "--all"), ("purge", "--all", "--state", "open", "--state", "released", "--yes"),
        ("queues",), ("status",), ("ledger",),
    ):  # fmt: skip
        result = run_command([*words, "--redis-url", group.url])
        wrong = words == ("status",)  # no worker listens
        assert result.exit_code == wrong, (words, result.stdout + result.stderr)
        said.append(" ".join(result.stdout.split()))

    assert said[0].startswith("1 queue paused")
    assert said[1].startswith("1 queue resumed")
    assert said[2] == "1 event in 1 batch added"
    assert said[4] == "1 event in 1 batch redriven"
    assert said[6] == "1 event in 1 batch purged"
    flushed = run_command(["flush", "--redis-url", group.url])
    assert "no worker listens" in " ".join(flushed.stdout.split())


def test_an_operator_moves_a_queue_to_other_nodes(group: ClusterGroup) -> None:
    """A queue's events move to the shards of another queue, wherever these lie; each event once."""
    queue = connect_to(group.url, shards=SHARDS)
    for n in range(4 * SHARDS):
        assert all(queue.enqueue_many([{"n": 10 * n + each} for each in range(10)]))
    told = ("--redis-url", group.url, "move", "--from", queue.name, "--to-account", "77", "--yes")

    result = run_command((*told, "--json"))

    document = json.loads(result.stdout)
    client = open_client(group.url, timeout_seconds=TIMEOUT_SECONDS)
    shards = {
        name: [Shard(client, "vwo", name, number) for number in range(SHARDS)]
        for name in (queue.name, document["to"]["queue"])
    }
    nodes = {group.owner_of(slot_of(group, each)) for those in shards.values() for each in those}
    old, new = ([take_snapshot(shard) for shard in those] for those in shards.values())
    assert len(nodes) > 1
    assert document["moved"]["events"] == 40 * SHARDS
    assert [shard.accepted for shard in old] == [0] * SHARDS
    assert all(shard.balanced for shard in [*old, *new])
    held = [event for shard in shards[document["to"]["queue"]] for event in events_in(shard)]
    assert sorted(json.loads(event)["n"] for event in held) == [*range(40 * SHARDS)]
    client.close()


def test_no_client_warns(group: ClusterGroup) -> None:
    """redis-py gives no warning: retry options are not used in releases that deprecate them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        assert open_worker_client(group.url).time()
