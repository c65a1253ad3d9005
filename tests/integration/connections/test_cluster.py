"""Redis Cluster: shards spread over nodes, slots that move, and a master that dies."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import MaxConnectionsError
from redis.exceptions import TimeoutError as RedisTimeoutError

import vwo_celery
from tools.command_line import run_command
from tools.producers import BATCH, DESTINATION, SOON_SECONDS, TIMEOUT_SECONDS, connect, numbers
from tools.redis_groups import ClusterGroup, client_of, cluster_port
from tools.under_load import LoadedInstallation
from tools.waiting import wait_until
from vwo_celery.connections import open_async_client, open_client, open_worker_client
from vwo_celery.connections.pools import MOST_CONNECTIONS
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.producing import aio
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Batch
from vwo_celery.receipts import IN_REDIS, SPOOLED
from vwo_celery.testing import RedisServer, Standin

pytestmark = pytest.mark.declared_keys("broker:*")
SHARDS = 5


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterGroup]:
    """Three masters, shared by all tests of this file that do not kill them."""
    with ClusterGroup(3) as running:
        yield running


@pytest.fixture
def group(cluster: ClusterGroup) -> ClusterGroup:
    """The shared cluster, emptied."""
    for node in cluster.masters:
        with client_of(node) as client:
            client.flushall()
            client.config_resetstat()
    return cluster


@pytest.fixture
def installation(
    group: ClusterGroup, redis_url: str, standin: Standin, tmp_path: Path
) -> Iterator[LoadedInstallation]:
    """An installation around the cluster, its queue in several shards."""
    with LoadedInstallation(group.url, redis_url, standin, tmp_path, shards=SHARDS) as running:
        yield running


def connect_to(url: str, batch: Any = BATCH, **settings: Any) -> vwo_celery.Queue:
    """A queue without a spool."""
    return connect(url, batch, spool_dir="", **settings)


def slot_of(group: ClusterGroup, shard: Shard) -> int:
    """The slot of all keys of a shard."""
    return group.slot_of(shard.keys.meta)


def move(group: ClusterGroup, shard: Shard) -> int:
    """Move a shard to another node in one step; the number of its keys."""
    slot = slot_of(group, shard)
    source = group.owner_of(slot)
    target = next(node for node in group.masters if node is not source)
    group.begin_move(slot, source, target)
    moved = group.move_keys(slot, source, target)
    group.end_move(slot, source, target)
    return moved


@contextmanager
def _in_thread(work: Callable[[], object]) -> Iterator[list[object]]:
    """Run *work* in a thread beside the block; its result is available after the block."""
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
    thread.start()
    yield answers
    thread.join(20)


def _tried_in_vain(*nodes: RedisServer) -> bool:
    """Whether a node has answered TRYAGAIN; which node does depends on the version of Redis."""
    answers = []
    for node in nodes:
        with client_of(node) as client:
            answers.append("errorstat_TRYAGAIN" in client.info("errorstats"))
    return any(answers)


def events_in(shard: Shard) -> list[bytes]:
    """All events of a shard, sealed or not."""
    batches = take_snapshot(shard).batches
    sealed = [event for batch in batches for event in shard.first_events(batch.id, batch.events)]
    return sealed + list(shard.client.lrange(shard.keys.open, 0, -1))


def ledger(queue: vwo_celery.Queue) -> Any:
    """The summed ledger of all shards."""
    (view,) = view_queues(
        producer_of(queue).fleet, producer_of(queue).fleet.registrations().readable
    )
    return view.ledger


def test_shards_lie_on_several_nodes(group: ClusterGroup) -> None:
    """A queue in several shards is stored on more than one master, and no event is missing."""
    queue = connect_to(group.url, shards=SHARDS)

    assert all(queue.enqueue({"n": n}) == IN_REDIS for n in range(50))

    owners = {group.owner_of(slot_of(group, shard)).port for shard in producer_of(queue).shards}
    assert len(owners) > 1
    assert sum(take_snapshot(shard).pending for shard in producer_of(queue).shards) == 50
    assert ledger(queue).balanced


def test_slots_move_while_events_flow(
    group: ClusterGroup, installation: LoadedInstallation
) -> None:
    """Each shard moves to another node while events flow: none is lost, stored twice or sent twice."""
    installation.worker()
    streams = [installation.stream(name) for name in ("a", "b")]
    for stream in streams:
        stream.wait_for_more()
    queue = installation.queue()

    for shard in producer_of(queue).shards:
        assert move(group, shard)
        streams[0].wait_for_more(20)

    stored = [name for stream in streams for name in stream.finish()]
    installation.wait_for_delivery(stored)
    assert queue.flush_events(10)
    assert installation.sent_twice() == {}
    found = ledger(queue)
    assert found.balanced
    assert (found.accepted, found.dropped) == (found.delivered, 0)
    unknown = [name for s in streams for name, (_, reason) in s.receipts().items() if reason != "-"]
    assert len(stored) <= found.accepted <= len(stored) + len(unknown)


def test_a_shard_between_two_nodes(group: ClusterGroup) -> None:
    """While a shard's keys lie on two nodes, nothing is stored and the receipt says so; then it is."""
    queue = connect_to(group.url, enqueue_timeout_seconds=0.5)
    assert all(queue.enqueue_many({"n": n} for n in range(10)))
    shard = producer_of(queue).shards[0]
    slot = slot_of(group, shard)
    source = group.owner_of(slot)
    target = next(node for node in group.masters if node is not source)

    group.begin_move(slot, source, target)
    started = time.monotonic()
    (between, _) = queue.enqueue_many([{"n": "between"}] * 2)
    took_seconds = time.monotonic() - started
    group.move_keys(slot, source, target)
    group.end_move(slot, source, target)

    assert (bool(between), between.reason) == (False, "redis_unavailable")
    assert took_seconds < SOON_SECONDS
    # The breaker stays open for a moment.
    wait_until(lambda: queue.enqueue({"n": 10}) == IN_REDIS, 5, what="a push after the move")
    client = open_client(group.url, timeout_seconds=2)
    assert client.lrange(shard.keys.open, 0, -1)[::-1] == numbers(11)
    assert take_snapshot(shard).balanced


def test_a_worker_waits_for_the_end_of_a_move(group: ClusterGroup) -> None:
    """A batch that was sent during a move is settled after it, and not sent again."""
    queue = connect_to(group.url, batch={"events_per_request": 3})
    wait_until(lambda: all(queue.enqueue_many({"n": n} for n in range(3))), 5, what="a push")
    shard = Shard(open_worker_client(group.url), "vwo", queue.name, 0)
    batch = shard.claim(token="", lease_seconds=60)
    assert isinstance(batch, Batch)
    slot = slot_of(group, shard)
    source = group.owner_of(slot)
    target = next(node for node in group.masters if node is not source)
    group.begin_move(slot, source, target)

    with _in_thread(lambda: shard.ack(batch.id)) as acked:
        client = open_client(group.url, timeout_seconds=2)
        wait_until(lambda: _tried_in_vain(source, target), 5, what="TRYAGAIN")
        group.move_keys(slot, source, target)
        group.end_move(slot, source, target)

    assert acked == [True]
    assert client.zcard(shard.keys.leases) == 0
    assert take_snapshot(shard).delivered == 3


def test_asyncio_follows_a_slot(group: ClusterGroup) -> None:
    """The asyncio producer finds a shard on its new node as well."""
    import asyncio

    queue = connect_to(group.url)
    other = aio.connect(
        queue.destination, redis_url=group.url, enqueue_timeout_seconds=5.0, spool_dir=""
    )

    async def run() -> list[Any]:
        before = await other.enqueue({"n": 0})
        await asyncio.to_thread(move, group, producer_of(queue).shards[0])
        after = await other.enqueue({"n": 1})
        await other.aclose()
        return [before, after]

    assert asyncio.run(run()) == [IN_REDIS, IN_REDIS]
    assert take_snapshot(producer_of(queue).shards[0]).pending == 2


@pytest.fixture
def growing() -> Iterator[tuple[ClusterGroup, RedisServer]]:
    """A cluster of one master, and a node that joins it in the test and owns no slot."""
    with ClusterGroup(1) as running:
        yield running, running.nodes[0]


def begin_to_grow(group: ClusterGroup, shard: Shard) -> tuple[int, RedisServer]:
    """Let a node join, and move a shard's keys to it without ending the move: Redis answers ASK."""
    slot, source = slot_of(group, shard), group.nodes[0]
    node = group.grow()
    group.begin_move(slot, source, node)
    group.move_keys(slot, source, node)
    return slot, node


def test_a_cluster_that_grows(growing: tuple[ClusterGroup, RedisServer], tmp_path: Path) -> None:
    """An ASK for a node that owns no slot yet raises nothing, and no event is lost or doubled."""
    group, source = growing
    queue = connect(group.url, spool_dir=str(tmp_path), enqueue_timeout_seconds=TIMEOUT_SECONDS)
    assert queue.enqueue({"n": 0}) == IN_REDIS
    shard = producer_of(queue).shards[0]
    slot, node = begin_to_grow(group, shard)

    receipts = [queue.enqueue({"n": 1}), *queue.enqueue_many({"n": n} for n in range(2, 9))]
    flushed = queue.flush_events(0)
    group.end_move(slot, source, node)

    # A script of several keys is refused (TRYAGAIN) until the move has ended: those are spooled.
    assert {receipt.where for receipt in receipts} <= {"redis", "spooled"}
    assert not flushed
    wait_until(lambda: queue.spooled() == 0, 20, what="an empty spool")
    assert sorted(events_in(shard)) == numbers(9)
    found = take_snapshot(shard)
    assert (found.accepted, found.balanced) == (9, True)


def test_a_worker_in_a_cluster_that_grows(growing: tuple[ClusterGroup, RedisServer]) -> None:
    """A worker follows an ASK for a node that owns no slot yet, and settles when the move has ended."""
    group, source = growing
    queue = connect_to(group.url, batch={"events_per_request": 3})
    assert all(queue.enqueue_many({"n": n} for n in range(3)))
    shard = Shard(open_worker_client(group.url), "vwo", queue.name, 0)
    batch = shard.claim(token="", lease_seconds=60)
    assert isinstance(batch, Batch)
    slot, node = begin_to_grow(group, shard)

    read = shard.read(batch)
    with _in_thread(lambda: shard.ack(batch.id)) as acked:
        wait_until(lambda: _tried_in_vain(source, node), 5, what="TRYAGAIN")
        group.end_move(slot, source, node)

    assert read == numbers(3)
    assert acked == [True]
    assert take_snapshot(shard).delivered == 3


def test_asyncio_in_a_cluster_that_grows(
    growing: tuple[ClusterGroup, RedisServer], tmp_path: Path
) -> None:
    """The asyncio producer loses nothing, either, to an ASK for a node that owns no slot yet."""
    import asyncio

    group, source = growing
    queue = aio.connect(
        DESTINATION, redis_url=group.url, enqueue_timeout_seconds=5.0, spool_dir=str(tmp_path)
    )
    shard = producer_of(queue.sync).shards[0]

    async def run() -> list[Any]:
        before = await queue.enqueue({"n": 0})
        slot, node = await asyncio.to_thread(begin_to_grow, group, shard)
        during = await queue.enqueue_many({"n": n} for n in range(1, 4))
        await asyncio.to_thread(group.end_move, slot, source, node)
        await queue.aclose()
        return [before, *during]

    receipts = asyncio.run(run())

    assert {receipt.where for receipt in receipts} <= {"redis", "spooled"}
    wait_until(lambda: queue.sync.spooled() == 0, 20, what="an empty spool")
    assert sorted(events_in(shard)) == numbers(4)


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


def test_asyncio_reaches_a_node_that_owns_no_slot(
    growing: tuple[ClusterGroup, RedisServer],
) -> None:
    """Commands of a single key, many at once, are answered by the node that the ASK names."""
    import asyncio

    group, _ = growing
    queue = connect_to(group.url)
    assert queue.enqueue({"n": 0}) == IN_REDIS
    shard = producer_of(queue).shards[0]
    begin_to_grow(group, shard)

    async def run() -> Any:
        client = open_async_client(group.url, timeout_seconds=5)
        look = ("LRANGE", shard.keys.open, 0, -1)
        await client.execute_command(*look)  # connects; redis-py does not do that at once for many
        answers = await asyncio.gather(*(client.execute_command(*look) for _ in range(50)))
        await client.aclose()
        return answers

    assert asyncio.run(run()) == [numbers(1)] * 50


def test_a_cluster_that_grows_under_load(
    growing: tuple[ClusterGroup, RedisServer], redis_url: str, standin: Standin, tmp_path: Path
) -> None:
    """While all shards move to a new node, no event is lost or sent twice, and no program fails."""
    group, source = growing
    with LoadedInstallation(
        group.url, redis_url, standin, tmp_path, shards=SHARDS, spool_dir=str(tmp_path / "spool")
    ) as installation:
        worker = installation.worker()
        streams = [installation.stream(name) for name in ("a", "b")]
        for stream in streams:
            stream.wait_for_more()
        node = group.grow()
        for shard in producer_of(installation.queue()).shards:
            slot = slot_of(group, shard)
            group.begin_move(slot, source, node)
            group.move_keys(slot, source, node)
            _await_asks(source, streams)
            group.end_move(slot, source, node)
            streams[0].wait_for_more(20)

        for stream in streams:
            stream.finish()
        receipts = {k: v for stream in streams for k, v in stream.receipts().items()}
        queue = installation.queue()
        assert queue.drain_spool(
            60
        )  # what the streams left; this installation's worker has no spool
        kept = [name for name, (where, _) in receipts.items() if where in ("redis", "spooled")]
        assert len(kept) == len(receipts)
        installation.wait_for_delivery(kept)
        assert queue.flush_events(10)
        assert installation.sent_twice() == {}
        found = ledger(queue)
        assert (found.balanced, found.dropped, found.accepted) == (True, 0, len(kept))
        assert worker.exit_code is None


def _await_asks(node: RedisServer, streams: list[Any]) -> None:
    """Return once *node* has redirected commands with ASK."""
    with client_of(node) as client:
        client.config_resetstat()
        wait_until(lambda: "errorstat_ASK" in client.info("errorstats"), 20, what="an ASK")
    for stream in streams:
        assert stream.exit_code is None


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
    assert producer_of(queue).fleet.client.hlen(producer_of(queue).shards[0].keys.meta)


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
