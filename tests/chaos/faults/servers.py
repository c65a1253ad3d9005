"""Faults of Redis and of Celery's broker.

Each fault is a context manager on a running fleet: inflicted on entry, healed on exit. The caller
decides how long it lasts. If healing starts a program again, the exit returns when that program is
ready.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from chaos.faults.row import IN_FLIGHT, OWN_BROKER, REPEAT_SECONDS, Infliction, Row, again_and_again
from chaos.fleet import Fleet
from chaos.kit import LEASE_SECONDS, Kit
from chaos.stores import ClusterStore, SentinelStore
from tools import redis_outages as outages
from tools.tcpproxy import TcpProxy
from vwo_celery.queue.words.keys import fleet_keys
from vwo_celery.testing import RedisServer

#: Names of the append-only log in the folder of a server.
_APPEND_ONLY = ("appendonlydir", "appendonly.aof")


#: Commands that are denied in turn: those that move events and batches.
_DENIED = (
    "lpush", "set", "hset", "rename", "zadd", "zrem", "hdel", "unlink", "hincrby", "copy", "rpush",
    "zremrangebyscore",
)  # fmt: skip
#: Moves of the slot through the cluster.
_MOVES = 4


@contextmanager
def redis_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of Redis; it comes back with its append-only file."""
    fleet.redis.kill()
    yield
    fleet.redis.start()


def outage(kind: Callable[[RedisServer, TcpProxy], AbstractContextManager[None]]) -> Infliction:
    """One of the outages of the producers' tests, for the whole fleet."""
    return lambda fleet: kind(fleet.redis, fleet.single.application_line)


@contextmanager
def redis_lost_tail(fleet: Fleet) -> Iterator[None]:
    """Redis comes back as it was a second before it died, as after a loss of power."""
    folder = fleet.redis.folder
    # A folder of several files from Redis 7 on, a single file before.
    log = next(path for path in map(folder.joinpath, _APPEND_ONLY) if path.exists())
    saved = fleet.folder / "saved"
    copy = shutil.copytree if log.is_dir() else shutil.copy2
    copy(log, saved)
    fleet.hold(1)
    fleet.redis.kill()
    if log.is_dir():
        shutil.rmtree(log)
    saved.replace(log)
    yield
    fleet.redis.start()


@contextmanager
def redis_emptied(fleet: Fleet) -> Iterator[None]:
    """FLUSHALL, as if a new Redis replaced the old one."""
    fleet.client.flushall()
    yield


@contextmanager
def scripts_flushed(fleet: Fleet) -> Iterator[None]:
    """SCRIPT FLUSH, again and again."""
    with again_and_again(fleet.client.script_flush, REPEAT_SECONDS):
        yield


@contextmanager
def command_denied(fleet: Fleet) -> Iterator[None]:
    """One command after another is denied to the user of applications and workers."""
    denied = itertools.cycle(_DENIED)

    def deny_next() -> None:
        rules = ("+@all", f"-{next(denied)}")
        fleet.client.execute_command("ACL", "SETUSER", "default", *rules)

    with again_and_again(deny_next, REPEAT_SECONDS):
        yield
    fleet.client.execute_command("ACL", "SETUSER", "default", "+@all")


@contextmanager
def broker_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of Celery's broker, which is not the queues' Redis, and its restart."""
    fleet.broker.kill()
    yield
    fleet.broker.start()


@contextmanager
def failed_over(fleet: Fleet) -> Iterator[None]:
    """The master dies, and the Sentinels promote a replica."""
    assert isinstance(fleet.store, SentinelStore)
    fleet.store.fail_over()
    yield


@contextmanager
def switched_over(fleet: Fleet) -> Iterator[None]:
    """The Sentinels promote a replica while the master runs and takes writes."""
    assert isinstance(fleet.store, SentinelStore)
    fleet.store.switch_over()
    yield


@contextmanager
def resharded(fleet: Fleet) -> Iterator[None]:
    """The queue's slot moves from node to node of a cluster."""
    assert isinstance(fleet.store, ClusterStore)
    for _ in range(_MOVES):
        fleet.store.move(fleet.fates.shard.keys.open)
    yield


@contextmanager
def grown(fleet: Fleet) -> Iterator[None]:
    """A node joins a cluster, and the queue's slot moves to it, a second between two nodes."""
    assert isinstance(fleet.store, ClusterStore)
    fleet.store.grow(fleet.fates.shard.keys.open, lambda: fleet.hold(1))
    yield


@contextmanager
def part_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of a master without a replica that holds keys of all queues, and not the queue."""
    assert isinstance(fleet.store, ClusterStore)
    keys = fleet_keys("vwo")
    shared = (keys.queues, keys.watched, keys.wakeups, keys.pulse, keys.listeners)
    master = fleet.store.master_without(fleet.fates.shard.keys.open, shared)
    master.kill()
    yield
    master.start()
    fleet.store.group.wait_until_ok()


#: Rows of the fault matrix.
ROWS = (
    Row(
        name="redis-killed",
        fault="Redis killed (SIGKILL), back after 2 s from its AOF",
        inflict=redis_killed,
        seconds=2,
    ),
    Row(
        name="redis-frozen-1",
        fault="Redis stopped (SIGSTOP) for 1 s",
        inflict=outage(outages.hung),
        seconds=1,
    ),
    Row(
        name="redis-frozen-8",
        fault="Redis stopped (SIGSTOP) for 8 s, longer than a lease",
        inflict=outage(outages.hung),
        seconds=LEASE_SECONDS + 2,
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="redis-frozen-30",
        fault="Redis stopped (SIGSTOP) for 30 s",
        inflict=outage(outages.hung),
        seconds=30,
        leases_lost=IN_FLIGHT,
        soak=False,
    ),
    Row(
        name="redis-read-only",
        fault="Redis refuses writes (REPLICAOF)",
        inflict=outage(outages.read_only),
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="redis-password",
        fault="Redis requires another password",
        inflict=outage(outages.wrong_password),
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="redis-full",
        fault="Redis at its maxmemory, then freed; separate broker",
        inflict=outage(outages.out_of_memory),
        kit=OWN_BROKER,
    ),
    Row(
        name="redis-full-shared",
        fault="the same, with Redis as the broker too",
        inflict=outage(outages.out_of_memory),
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="scripts-flushed",
        fault="SCRIPT FLUSH, ten times a second",
        inflict=scripts_flushed,
    ),
    Row(
        name="command-denied",
        fault="Redis denies its user one command after another (ACL), ten times a second",
        inflict=command_denied,
        kit=OWN_BROKER,
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="redis-lost-tail",
        fault="Redis killed, its AOF lacks the last second: not promised, but counted",
        inflict=redis_lost_tail,
        seconds=1,
        leases_lost=1_000,
        loss="counted",
        soak=False,
    ),
    Row(
        name="redis-emptied",
        fault="FLUSHALL: not promised, but recorded",
        inflict=redis_emptied,
        seconds=0,
        loss="noted",
        soak=False,
    ),
    Row(
        name="broker-killed",
        fault="Celery's broker killed, back after 3 s; the worker goes on without it",
        inflict=broker_killed,
        kit=OWN_BROKER,
        least_requests=2,
    ),
    Row(
        name="broker-killed-gevent",
        fault="the same, with Celery's gevent pool",
        inflict=broker_killed,
        kit=Kit(own_broker=True, pool="gevent"),
        least_requests=2,
        soak=False,
    ),
    Row(
        name="sentinel-failover",
        fault="the master of a Sentinel group killed, wait_replicas=1",
        inflict=failed_over,
        seconds=1,
        kit=Kit(store="sentinel", own_broker=True),
        settings={"VWO_CELERY_WAIT_REPLICAS": "1"},
        leases_lost=IN_FLIGHT,
        soak=False,
    ),
    Row(
        name="sentinel-switch-over",
        fault="a planned Sentinel switch-over, both masters alive: not promised, but counted",
        inflict=switched_over,
        seconds=1,
        kit=Kit(store="sentinel", own_broker=True),
        leases_lost=IN_FLIGHT,
        loss="counted",
        soak=False,
    ),
    Row(
        name="cluster-resharded",
        fault="the queue's slot moves four times through a Redis Cluster",
        inflict=resharded,
        seconds=1,
        kit=Kit(store="cluster", own_broker=True),
        soak=False,
    ),
    Row(
        name="cluster-grows",
        fault="a node joins a Redis Cluster, and the queue's slot moves to it",
        inflict=grown,
        seconds=1,
        kit=Kit(store="cluster", own_broker=True),
        soak=False,
    ),
    Row(
        name="cluster-part-away",
        fault="a master that holds keys of all queues killed for 20 s, no replica; delivery goes on",
        inflict=part_killed,
        seconds=20,
        kit=Kit(store="cluster", own_broker=True),
        least_requests=5,
        soak=False,
    ),
)
