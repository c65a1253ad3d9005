"""Only queue/ sends commands to Redis; connections/ opens clients, and asks Sentinels for the master."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
import redis
import redis.asyncio
import redis.client

from tools.docs import load_builder

builder = load_builder("build_architecture")
MODULES, part_of = builder.MODULES, builder.part_of


def redis_words() -> frozenset[str]:
    """Every public name of redis-py's clients, but for what opens, hands on and closes one."""
    kinds = (redis.Redis, redis.RedisCluster, redis.client.Pipeline, redis.client.PubSub)
    async_kinds = (redis.asyncio.Redis, redis.asyncio.RedisCluster)
    names = {name for kind in (*kinds, *async_kinds) for name in dir(kind) if name[0] != "_"}
    return frozenset(names - {"from_url", "client", "cluster", "close", "aclose"})


#: Names of redis-py's that other things have too; they are commands where a client has them.
SHARED_WORDS = frozenset({
    "append", "command", "copy", "delete", "discard", "echo", "execute", "exists", "get", "info",
    "json", "keys", "listen", "lock", "move", "ping", "pipeline", "publish", "rename", "reset",
    "role", "save", "select", "sentinel",
    "set", "shutdown", "sort", "sync", "time", "transaction", "type", "unlink", "wait", "watch",
})  # fmt: skip
ONLY_REDIS_WORDS = redis_words() - SHARED_WORDS
#: What the clients in connections/ hand on to redis-py's, whatever the command is.
HANDED_ON = frozenset({
    "execute_command", "pipeline", "execute", "pubsub", "get_primaries", "get_node_from_key",
    "command", "commands_parser", "connection_kwargs", "get_node", "initialize",
    "get_redis_connection", "keyslot", "nodes_manager",
    "RedisClusterRequestTTL",
})  # fmt: skip
CLIENT_NAMES = frozenset({"client", "pipe", "pipeline", "redis"})
OPENS_A_CLIENT = re.compile(r"(open_\w*client|Redis|RedisCluster|ClusterClient|from_url)$")


class Clients:
    """The expressions of one module that stand for a Redis client, or for something made by one."""

    def __init__(self, tree: ast.AST) -> None:
        self._modules = {
            alias.asname or alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        self._names = set(CLIENT_NAMES)
        known = 0
        while known != len(self._names):
            known = len(self._names)
            for node in ast.walk(tree):
                for target, value in bindings(node):
                    if self.include(value):
                        self._names |= names_in(target)

    def include(self, node: ast.AST) -> bool:
        """Whether an expression stands for a client."""
        match node:
            case ast.Name(name):
                return name.lstrip("_") in self._names and name not in self._modules
            case ast.Attribute(value, attr):
                module = isinstance(value, ast.Name) and value.id in self._modules
                return not module and attr.lstrip("_") in self._names
            case ast.Call(func):
                opens = OPENS_A_CLIENT.search(ast.unparse(func)) is not None
                return opens or (isinstance(func, ast.Attribute) and self.include(func.value))
            case ast.Await(value) | ast.NamedExpr(_, value):
                return self.include(value)
            case ast.IfExp(_, body, orelse):
                return self.include(body) or self.include(orelse)
        return False


def bindings(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each target of a statement that gives a name to a value, and that value."""
    match node:
        case ast.Assign([ast.Tuple(targets)], ast.Tuple(values)):
            yield from zip(targets, values, strict=False)
        case ast.Assign(targets, value):
            yield from ((target, value) for target in targets)
        case ast.AnnAssign(target, value=ast.expr() as value) | ast.NamedExpr(target, value):
            yield target, value
        case ast.withitem(value, ast.expr() as target):
            yield target, value


def names_in(target: ast.AST) -> set[str]:
    """The names and attributes that an assignment's target binds."""
    match target:
        case ast.Name(name) | ast.Attribute(attr=name):
            return {name.lstrip("_")}
        case ast.Tuple(parts):
            return {name for part in parts for name in names_in(part)}
    return set()


def commands_sent(source: str, *, handed_on: frozenset[str] = frozenset()) -> list[str]:
    """Expressions by which a module sends a command to Redis, or could.

    Args:
        source: The module's text.
        handed_on: Names of redis-py's that it may use; not for a command that it names itself.
    """
    tree = ast.parse(source)
    clients, found = Clients(tree), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr not in handed_on:
            shared = node.attr in SHARED_WORDS and clients.include(node.value)
            if shared or node.attr in ONLY_REDIS_WORDS:
                found.append(ast.unparse(node))
        match node:
            case ast.Call(ast.Attribute(attr="execute_command"), [ast.Constant(), *_]):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    "module", [name for name in MODULES if part_of(name) not in ("queue", "testing")]
)
def test_only_the_queue_sends_commands(module: str) -> None:
    """Whoever wants something of Redis asks queue/; connections/ opens clients, and closes them."""
    handed_on = HANDED_ON if part_of(module) == "connections" else frozenset()

    assert commands_sent(MODULES[module].read_text("utf-8"), handed_on=handed_on) == []


@pytest.mark.parametrize(
    "sample",
    [
        "fleet.client.get(key)",
        "self.fleet.client.get(key)",
        "client = fleet.client; client.llen(key)",
        "c = fleet.client; c.get(key)",
        "self._far = fleet.client\nself._far.exists(key)",
        "a, b = 1, fleet.client\nb.exists(key)",
        "pipe = client.pipeline()",
        "with shard.client.pipeline() as batch: batch.get(key)",
        "open_client(url).info()",
        "open_worker_client(url, timeout_seconds=1).time()",
        "def f(client): return client.ping()",
        "async def f(): await self._client.get(key)",
        "(node := open_client(url)).keys()",
        "anything.hgetall(key)",
        "send = anything.execute_command",
        "partial(fleet.client.get, key)",
    ],
)
def test_the_command_rule_sees_every_name(sample: str) -> None:
    """A command is one by whatever name the client goes."""
    assert commands_sent(sample)


@pytest.mark.parametrize(
    "sample",
    [
        "client = open_client(url)\ntry: f(client)\nfinally: client.close()",
        "async def f(): await self._client.aclose()",
        "Circuit(self.fleet.client, queue)",
        "import http.client\nhttp.client.HTTPConnection(host).close()",
        "log.info(text)",
        "settings.get(name)",
        "queue.sync.flush_events()",
    ],
)
def test_the_command_rule_lets_clients_be_handed_on(sample: str) -> None:
    """Opening a client, handing it on and closing it is no command; nor is another thing's method."""
    assert commands_sent(sample) == []


def test_connections_name_no_command() -> None:
    """A client of ours hands every command on; it sends none that it names itself."""
    assert commands_sent("self.cluster.execute_command(*words)", handed_on=HANDED_ON) == []
    assert commands_sent("self.cluster.execute_command('EXISTS', key)", handed_on=HANDED_ON)
    assert commands_sent("self.client.ping()", handed_on=HANDED_ON)
