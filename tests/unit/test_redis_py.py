"""Names inside redis-py that connections/ relies on: this test fails first if a release drops one."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.typing import CommandsProtocol

import vwo_celery
from vwo_celery.connections.cluster import ClusterClient

QUEUE = Path(vwo_celery.__file__).parent / "queue"
POOL = redis.ConnectionPool.from_url("redis://127.0.0.1:1")
CLIENT = redis.Redis(connection_pool=POOL)


def commands_of_the_queue() -> set[str]:
    """Every method of a client that queue/ calls, also on pipelines and asyncio's clients."""
    trees = [ast.parse(path.read_text("utf-8")) for path in QUEUE.rglob("*.py")]
    calls = [node.func for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        func.attr
        for func in calls
        if isinstance(func, ast.Attribute) and ast.unparse(func.value).endswith("client")
    }


def names_read(method: Callable[..., Any]) -> Iterator[str]:
    """Every attribute of its own object that a method reads."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(method)))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
            yield node.attr


def missing(method: Callable[..., Any]) -> list[str]:
    """The attributes that a redis-py command reads and ClusterClient lacks."""
    ours = method.__module__.startswith("vwo_celery")
    return [] if ours else [name for name in names_read(method) if not hasattr(ClusterClient, name)]


@pytest.mark.parametrize("command", sorted(commands_of_the_queue() & set(dir(ClusterClient))))
def test_commands_ask_our_cluster_client_for_nothing_it_lacks(command: str) -> None:
    """ClusterClient has every attribute that its commands, borrowed from redis-py, read."""
    assert missing(getattr(ClusterClient, command)) == []


def test_the_rule_sees_what_is_missing() -> None:
    """A command that reads an attribute of redis-py's own clients is found; the list is not empty."""
    assert missing(ClusterClient.slowlog_get) != []
    assert {"hgetall", "execute_command", "script_load"} <= commands_of_the_queue()


def test_our_cluster_client_has_what_redis_py_declares() -> None:
    """ClusterClient has the private attributes that redis-py's commands declare: `_event_dispatcher`."""
    declared = {name for name in inspect.get_annotations(CommandsProtocol) if name.startswith("_")}

    assert declared - set(dir(ClusterClient)) == set()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (redis.RedisCluster, "RedisClusterRequestTTL"),
        (redis.asyncio.RedisCluster, "RedisClusterRequestTTL"),
        (redis.RedisCluster, "get_primaries"),
        (redis.RedisCluster, "get_node_from_key"),
        (redis.RedisCluster, "get_redis_connection"),
        (CLIENT, "auto_close_connection_pool"),
        (CLIENT.pipeline(), "command_stack"),
        (POOL, "connection_kwargs"),
        (redis.Sentinel([]).master_for("mymaster").connection_pool, "service_name"),
    ],
)  # fmt: skip
def test_redis_py_has_the_names_that_we_use(owner: Any, name: str) -> None:
    """redis-py has the attributes that we set or read although it documents them little or not at all."""
    assert hasattr(owner, name)
