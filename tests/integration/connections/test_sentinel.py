"""Failover under Sentinel: a replica becomes the master, and no program restarts."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
import vwo_celery.aio
from tools.command_line import run_command
from tools.producers import BATCH, DESTINATION, connect, stored
from tools.redis_groups import Replicated, SentinelGroup, client_of
from tools.under_load import LoadedInstallation
from tools.waiting import PATIENCE, wait_until
from vwo_celery.connections import open_client
from vwo_celery.events import encode
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.receipts import IN_REDIS
from vwo_celery.testing import RedisServer, Standin

#: Less than a worker's retry time, which a client that keeps trying the old master would use up.
SOON_SECONDS = 9.0
#: Pause of a program that enqueues all the time.
WRITER_PAUSE_SECONDS = 0.003
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
        installation.wait_for_delivery(streams[0].stored()[-30:], SOON_SECONDS / PATIENCE)
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


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_a_push_without_a_master_hides_no_loss(group: SentinelGroup, kind: str) -> None:
    """A push that could not be sent keeps its mark: with the next one the loss is counted, although
    there is no spool.
    """
    with closing(asyncio.new_event_loop()) as loop:
        queue = vwo_celery.aio.connect(
            DESTINATION, batch_event_data=BATCH, redis_url=group.url, spool_dir=""
        )

        def enqueue(n: int) -> vwo_celery.Receipt:
            if kind == "threads":
                return queue.sync.enqueue({"n": n})
            return loop.run_until_complete(queue.enqueue({"n": n}))

        assert all(enqueue(n) for n in range(25))
        assert _replicated(group, queue.sync)
        group.elect_nobody()
        with cut_off(group):
            assert all(enqueue(n) for n in range(25, 31))
            group.master.kill()
        wait_until(lambda: "knows no master" in _refusal_of(_looker(group)), 20)
        assert not enqueue(31)

        group.elect_somebody()
        group.lose_master()

        wait_until(lambda: enqueue(32) == IN_REDIS, 20, what="the new master")
        found = take_snapshot(producer_of(queue.sync).shards[0])
        loop.run_until_complete(queue.aclose())
    assert found.dropped == {"redis_lost": 6}
    assert found.balanced


def _looker(group: SentinelGroup) -> Any:
    return open_client(group.url, timeout_seconds=2)


def _replicated(group: SentinelGroup, queue: Any) -> bool:
    return bool(
        producer_of(queue).fleet.client.wait(len(group.replicas), 5000) == len(group.replicas)
    )


class Writer(threading.Thread):
    """A program that enqueues without pause until told to end, by threads or asyncio."""

    def __init__(self, group: SentinelGroup, kind: str, folder: Path) -> None:
        super().__init__(daemon=True)
        self._url, self._kind, self._folder = group.url, kind, folder
        self._ending = threading.Event()
        self.receipts: dict[bytes, vwo_celery.Receipt] = {}
        self.queue = vwo_celery.aio.connect(
            DESTINATION, batch_event_data=BATCH, redis_url=self._url, spool_dir=str(folder)
        )

    def run(self) -> None:
        """Enqueue until `finish`."""
        if self._kind == "asyncio":
            asyncio.run(self._enqueue_in_loop())
            return
        while not self._ending.wait(WRITER_PAUSE_SECONDS):
            self._note(self.queue.sync.enqueue(self._event()))

    async def _enqueue_in_loop(self) -> None:
        while not await asyncio.to_thread(self._ending.wait, WRITER_PAUSE_SECONDS):
            self._note(await self.queue.enqueue(self._event()))
        await self.queue.aclose()

    def _event(self) -> dict[str, Any]:
        return {"by": self._kind, "n": len(self.receipts)}

    def _note(self, receipt: vwo_celery.Receipt) -> None:
        self.receipts[encode(self._event())] = receipt

    def wait_for_more(self, events: int = 20) -> None:
        """Return once Redis has acknowledged *events* more."""
        had = self._stored()
        wait_until(lambda: self._stored() >= had + events, 20, what="more receipts")

    def _stored(self) -> int:
        return sum(receipt == IN_REDIS for receipt in list(self.receipts.values()))

    def finish(self) -> None:
        """End it, and move what it has spooled to Redis."""
        self._ending.set()
        self.join(20)
        assert not self.is_alive()
        assert self.queue.sync.drain_spool(20)


def writes_of(server: RedisServer) -> int:
    """Number of scripts that a server has run."""
    with client_of(server) as client:
        stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval"))


def test_a_planned_switch_over_is_followed_at_once(group: SentinelGroup, tmp_path: Path) -> None:
    """Producers leave a master that is being replaced although it runs and takes writes; what they
    store meanwhile is spooled, or at worst counted as lost.
    """
    writers = [Writer(group, kind, tmp_path / "spool") for kind in ("threads", "asyncio")]
    for writer in writers:
        writer.start()
        writer.wait_for_more()

    new = group.switch_over()

    for writer in writers:
        writer.wait_for_more()
    with client_of(group.master) as old:
        left = writes_of(group.master)
        for writer in writers:
            writer.wait_for_more()
        assert old.info("replication")["role"] == "master"
        assert writes_of(group.master) == left
    for writer in writers:
        writer.finish()
    assert all(receipt for writer in writers for receipt in writer.receipts.values())
    with redis_py.Redis.from_url(new.url) as client:
        found, kept = (
            take_snapshot(producer_of(vwo_celery.connect(DESTINATION, redis=client)).shards[0]),
            Counter(stored(client)),
        )
    missing = [event for writer in writers for event in writer.receipts if not kept[event]]
    assert len(missing) <= found.dropped.get("redis_lost", 0)
    assert max(kept.values()) == 1
    assert found.balanced


def test_a_forked_child_follows_by_itself(group: SentinelGroup) -> None:
    """A child that inherits a queue has its own connections to Sentinels, and finds the new master."""
    queue = connect(group.url, spool_dir="")
    assert queue.enqueue({"n": 0}) == IN_REDIS
    told, tell = os.pipe()
    goes_on, go_on = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = queue.enqueue({"n": 1}) == IN_REDIS
            os.write(tell, b"1" if before else b"0")
            os.read(goes_on, 1)
            wait_until(lambda: queue.enqueue({"n": 2}) == IN_REDIS, 20)
            os.write(tell, b"1")
        finally:
            os._exit(0)
    assert os.read(told, 1) == b"1"

    new = group.switch_over()

    os.write(go_on, b"1")
    assert os.read(told, 1) == b"1"
    os.waitpid(child, 0)
    with redis_py.Redis.from_url(new.url) as client:
        assert b'{"n":2}' in stored(client)
    for end in (told, tell, goes_on, go_on):
        os.close(end)


def test_without_a_master_nobody_is_told_to_start_redis(group: SentinelGroup) -> None:
    """While the Sentinels know no master, each command says so and since when, and says to wait."""
    queue = connect(group.url, spool_dir="")
    assert queue.enqueue({"n": 0})
    healthy = run_command(["status", "--redis-url", group.url])
    group.elect_nobody()
    group.master.kill()
    client = open_client(group.url, timeout_seconds=2)

    wait_until(lambda: "knows no master" in _refusal_of(client), 20, what="Sentinel's word")

    for command in ("status", "health", "doctor"):
        said = run_command([command, "--redis-url", group.url])
        text = " ".join((said.stdout + said.stderr).split())
        assert f"127.0.0.1:{group.master.port} has not answered for" in text
        assert "SENTINEL CKQUORUM" in text
        assert "Start Redis" not in text
        assert said.exit_code == 1
    assert f"127.0.0.1:{group.master.port} is the master, for" in healthy.stdout


def _refusal_of(client: Any) -> str:
    try:
        client.ping()
    except redis_py.ConnectionError as exc:
        return str(exc)
    return ""


def test_status_and_doctor_tell_of_a_failover(group: SentinelGroup) -> None:
    """After a failover they name the new master and since when, and how many events were lost."""
    queue = connect(group.url, spool_dir="")
    assert all(queue.enqueue({"n": n}) for n in range(25))
    assert _replicated(group, queue)
    with cut_off(group):
        assert all(queue.enqueue({"n": n}) for n in range(25, 31))
        group.master.kill()
    new = group.lose_master()
    wait_until(lambda: queue.enqueue({"n": 31}) == IN_REDIS, 20, what="the new master")

    status, doctor = (
        run_command([command, "--redis-url", group.url]).stdout for command in ("status", "doctor")
    )

    for text in (status, doctor):
        words = " ".join(text.split())
        assert f"127.0.0.1:{new.port} is the master" in words
        assert "(failover 1)" in words
        assert "Redis lost at most 6 events" in words


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
