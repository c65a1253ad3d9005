"""The direct way in a Redis Cluster: to the node of the key's slot, and what a moved slot answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError

from tools.redis_groups import ClusterGroup, client_of
from tools.waiting import wait_until
from vwo_celery.connections import open_client
from vwo_celery.connections.exchanges import NOT_RUN_HERE
from vwo_celery.connections.resp import pack
from vwo_celery.testing import RedisServer

PATIENT_SECONDS = 10.0
#: Three keys, each with a master of its own.
KEYS = ("{b}", "{c}", "{d}")


@pytest.fixture(scope="module")
def group() -> Iterator[ClusterGroup]:
    """Three masters."""
    with ClusterGroup(3) as running:
        yield running


@pytest.fixture
def client(group: ClusterGroup) -> Iterator[Any]:
    """A client of the Cluster that has not connected yet."""
    opened = open_client(group.url, timeout_seconds=PATIENT_SECONDS)
    yield opened
    opened.close()


def test_each_key_has_its_node(client: Any) -> None:
    """Bytes go to the node that holds the key, and to no other."""
    answers = [client.exchange(key, pack(("INCR", key)))[0] for key in KEYS * 2]

    assert answers == [1, 1, 1, 2, 2, 2]
    assert len({client.part_of(key) for key in KEYS}) == len(KEYS)


def test_a_slot_that_has_moved_is_an_answer(client: Any, group: ClusterGroup) -> None:
    """Another node's slot is answered with MOVED: nothing has run, and `execute_command` follows it."""
    key = "{moved}"
    command = ("INCR", key)
    assert client.exchange(key, pack(command)) == [1]
    slot = group.slot_of(key)
    source = group.owner_of(slot)
    target = next(node for node in group.masters if node is not source)
    group.begin_move(slot, source, target)
    group.move_keys(slot, source, target)
    group.end_move(slot, source, target)

    (moved,) = client.exchange(key, pack(command))

    assert isinstance(moved, MovedError)
    assert isinstance(moved, NOT_RUN_HERE)
    assert client.execute_command(*command) == 2
    assert client.exchange(key, pack(command)) == [3]


def test_a_slot_without_a_node_is_an_answer(client: Any) -> None:
    """Where no node is known for a slot, nothing is sent."""
    client.exchange("{b}", pack(("GET", "{b}")))
    client.cluster.nodes_manager.slots_cache.pop(client.cluster.keyslot("{b}"))

    answers = client.exchange("{b}", pack(("GET", "{b}")) * 2, 2)

    assert [isinstance(answer, NOT_RUN_HERE) for answer in answers] == [True, True]


def serves(server: RedisServer, *, by: RedisServer) -> bool:
    """Whether a server holds slots, as another node says."""
    with client_of(by) as node:
        return bool(node.cluster("NODES")[f"127.0.0.1:{server.port}"]["slots"])


def test_after_a_failure_the_nodes_are_asked_who_holds_what() -> None:
    """A master that died fails one exchange; then its replica, which took over, is found."""
    with ClusterGroup(3, 1) as group:
        client = open_client(group.url, timeout_seconds=PATIENT_SECONDS)
        dead, heir = group.nodes[0], group.nodes[-1]
        key = next(
            key for n in range(99) if group.owner_of(group.slot_of(key := f"{{{n}}}")) is dead
        )
        assert client.exchange(key, pack(("GET", key))) == [None]
        dead.kill()
        alive = [node for node in group.nodes if node is not dead]
        wait_until(lambda: all(serves(heir, by=node) for node in alive), 15, what="the takeover")

        with pytest.raises(RedisConnectionError):
            client.exchange(key, pack(("GET", key)))

        assert client.exchange(key, pack(("GET", key))) == [None]
        assert client.part_of(key).endswith(f":{heir.port}")
        client.close()
