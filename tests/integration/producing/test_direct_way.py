"""A single event goes the direct way: one piece sent, one read, and none of redis-py's own work."""

from __future__ import annotations

import os
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from tools.producers import connect
from tools.redis_groups import ClusterGroup
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.receipts import IN_REDIS

pytestmark = pytest.mark.declared_keys("open", "watched")


class Watched:
    """A socket that notes what is sent and read."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name in ("sendall", "recv", "recv_into"):
            self.calls.append(name)
        return getattr(self._sock, name)


def ready(redis_url: str, events: int = 2) -> vwo_celery.Queue:
    """A queue of which a batch is open."""
    queue = connect(redis_url, {"events_per_request": 500, "request_time_interval": 600})
    assert all(queue.enqueue({"n": number}) == IN_REDIS for number in range(events))
    return queue


def pool_of(queue: vwo_celery.Queue) -> Any:
    """The pool of a producer."""
    return producer_of(queue).fleet.client.connection_pool


def test_one_event_is_one_piece_sent_and_one_read(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event in the middle of a batch is one `sendall` and one `recv`, without redis-py's commands."""
    queue = ready(redis_url)
    connection = pool_of(queue)._available_connections[-1]  # the next one that is taken
    sock = connection._sock = Watched(connection._sock)

    with monkeypatch.context() as without:
        without.setattr(redis_py.Redis, "execute_command", None)
        receipts = [queue.enqueue({"n": number}) for number in (2, 3)]

    assert receipts == [IN_REDIS] * 2
    assert sock.calls == ["sendall", "recv"] * 2


def test_an_event_on_a_connection_that_was_closed_is_stored_once(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """Where the idle connections were closed, the event goes again over one that is looked at."""
    queue = ready(redis_url)
    pool = pool_of(queue)
    for connection in [pool.take() for _ in range(3)]:
        pool.give_back(connection)
    redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    receipts = [queue.enqueue({"n": number}) for number in (2, 3)]

    assert receipts == [IN_REDIS] * 2
    assert take_snapshot(producer_of(queue).shards[0]).accepted == 4


def test_an_event_whose_answer_was_lost_is_stored_once(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """A connection that breaks after Redis stored the event makes no second one of it."""
    queue = ready(redis_url)
    connection = pool_of(queue)._available_connections[-1]  # the next one that is taken
    sock = connection._sock

    class Breaking(Watched):
        def recv(self, _: int) -> bytes:
            sock.recv(100)
            raise ConnectionResetError("broken")

    connection._sock = Breaking(sock)

    assert queue.enqueue({"n": 2}) == IN_REDIS
    snapshot = take_snapshot(producer_of(queue).shards[0])
    assert (snapshot.accepted, snapshot.balanced) == (3, True)


def test_a_forked_child_sends_over_no_socket_of_its_parent(redis_url: str) -> None:
    """The child's event leaves the parent's socket alone."""
    queue = ready(redis_url)
    connection = pool_of(queue)._available_connections[-1]  # the next one that is taken
    sock = connection._sock = Watched(connection._sock)

    pid = os.fork()
    if pid == 0:
        stored = False
        try:
            stored = queue.enqueue({"n": 2}) == IN_REDIS and not sock.calls
        finally:
            os._exit(0 if stored else 1)
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert queue.enqueue({"n": 3}) == IN_REDIS
    assert sock.calls == ["sendall", "recv"]
    assert take_snapshot(producer_of(queue).shards[0]).accepted == 4


def test_in_a_cluster_an_event_goes_straight_to_its_node_and_follows_its_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node that holds the slot is asked directly; one that gave it away is left in the same call."""
    with ClusterGroup(3) as group:
        queue = ready(group.url)
        shard = producer_of(queue).shards[0]
        with monkeypatch.context() as without:
            without.setattr(redis_py.RedisCluster, "execute_command", None)
            direct = queue.enqueue({"n": 2})
        slot = group.slot_of(shard.keys.meta)
        source = group.owner_of(slot)
        target = next(node for node in group.masters if node is not source)
        group.begin_move(slot, source, target)
        group.move_keys(slot, source, target)
        group.end_move(slot, source, target)

        assert [direct, queue.enqueue({"n": 3}), queue.enqueue({"n": 4})] == [IN_REDIS] * 3
        assert take_snapshot(shard).accepted == 5
