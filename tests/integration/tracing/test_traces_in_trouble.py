"""Traced calls where Redis is full, moves, or denies what only contexts need: no event fails for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis as redis_py

from tools.clusters import move
from tools.recording import Recording, ids, linked
from tools.redis_groups import ClusterGroup, client_of
from tools.selective_vwo import Delivering, Vwo, event
from vwo_celery.queue.servers.permissions import acl_rules, producer_needs
from vwo_celery.receipts import IN_REDIS, SPOOLED
from vwo_celery.testing import RedisServer

#: Commands that enqueue.lua runs for contexts, and not for an event that opens or fills no batch.
FOR_CONTEXTS = ("hscan", "lrange", "ltrim", "pexpire", "rpush", "unlink")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer() as running:
        yield running


def test_a_full_redis(server: RedisServer, recording: Recording, vwo: Vwo, tmp_path: Path) -> None:
    """Traced events go to the spool, and their contexts with them; once there is room, all arrive."""
    made = Delivering(server.url, vwo.standin, per_request=100, spool_dir=str(tmp_path))
    with recording.request():
        assert made.queue.enqueue(event(1)) == IN_REDIS
        with redis_py.Redis.from_url(server.url) as admin:
            admin.config_set("maxmemory", 1)
            assert [made.queue.enqueue(event(n)) for n in (2, 3)] == [SPOOLED] * 2
            admin.config_set("maxmemory", 0)

    assert made.queue.drain_spool(10)
    made.deliver()

    assert made.taken == {1: 1, 2: 1, 3: 1}
    (attempt,) = recording.attempts
    assert sorted(linked(attempt)) == sorted(ids(recording.sent))
    assert made.state.balanced


def test_a_user_without_the_rights_for_contexts(
    server: RedisServer, recording: Recording, vwo: Vwo
) -> None:
    """The events of a producer whose user may not keep contexts are stored and sent without links."""
    denied = " ".join(f"-{each}" for each in FOR_CONTEXTS)
    rules = f"on >p {acl_rules('vwo', producer_needs())} {denied}"
    with redis_py.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL SETUSER narrow", *rules.split())
        url = urlsplit(server.url)
        made = Delivering(
            f"redis://narrow:p@{url.hostname}:{url.port}/0",
            vwo.standin,
            per_request=2,
            spool_dir="",
        )
        with recording.request():
            assert [made.queue.enqueue(event(n)) for n in range(5)] == [IN_REDIS] * 5
        assert admin.keys("*:trac*") == []
        admin.execute_command("ACL SETUSER narrow", "+@all")  # the worker's rights

    made.deliver()

    assert made.taken == dict.fromkeys(range(5), 1)
    assert [linked(each) for each in recording.attempts] == [[], [], []]
    assert made.state.balanced


def test_a_slot_that_moves_while_traced_batches_drain(recording: Recording, vwo: Vwo) -> None:
    """Each batch has its own links, whichever node it is on; nothing of them is left on either."""
    with ClusterGroup(2) as group:
        made = Delivering(group.url, vwo.standin, per_request=2, spool_dir="")
        moved: list[int] = []

        def judge(_: list[int]) -> None:
            if len(moved) < 2:
                moved.append(move(group, made.shard))

        vwo.judge = judge
        with recording.request():
            assert [made.queue.enqueue(event(n)) for n in range(7)] == [IN_REDIS] * 7
        made.deliver_until(lambda: len(made.taken) == 7)

        assert made.taken == dict.fromkeys(range(7), 1)
        assert len(moved) == 2
        calls = ids(recording.sent)
        assert [linked(each) for each in recording.attempts] == [
            calls[0:2], calls[2:4], calls[4:6], calls[6:7],
        ]  # fmt: skip
        for node in group.masters:
            with client_of(node) as client:
                assert client.keys("*:trac*") == []
