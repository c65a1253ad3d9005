"""A client for Redis Cluster that connects at its first command, and again when all nodes moved.

Beneath the clients; nothing to lose. redis-py's own client asks for the nodes when it is made,
so an application could not start while Redis is away. It also retries, which is for the caller to
decide. This one follows a slot that moved to another node (MOVED, ASK), also to a node that has just
joined the cluster and owns no slot yet: such a command has not run. While the keys of a slot lie on
two nodes, Redis answers TRYAGAIN: a worker retries until that is over, a producer spools the event or
reports it.
"""

from __future__ import annotations

from _thread import RLock
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import signature
from typing import Any

import redis
from redis._parsers import CommandsParser
from redis.cluster import PRIMARY, ClusterNode, NodesManager
from redis.commands import RedisClusterCommands
from redis.exceptions import (
    AuthenticationError,
    ClusterError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from vwo_celery.connections.errors import WORTH_A_NEW_CONNECTION
from vwo_celery.connections.exchanges import exchange
from vwo_celery.connections.pools import SharedPool, let_reenter
from vwo_celery.connections.retries import Retries
from vwo_celery.connections.troubles import note_user
from vwo_celery.forks import PerProcess

#: Errors that end when a slot has reached its node or a replica has become the master.
#: RedisClusterException, raised when no node can be found, is no RedisError.
UNSETTLED = (*WORTH_A_NEW_CONNECTION, ClusterError, RedisClusterException, TryAgainError)


#: Most nodes that one command is sent to while it follows its slot. redis-py's default is 16, with
#: pauses in the second half: more than an enqueue has time for.
MOST_REDIRECTIONS = 4
#: Whether this redis-py asks the nodes in an order of its own, and the one that failed last if told.
_ASKS_LAST = "last_failed_node_name" in signature(NodesManager.initialize).parameters


class SyncCluster(redis.RedisCluster):
    """redis-py's client, with fewer attempts on a slot that lies between two nodes.

    An ASK may name a node that owns no slot yet, which redis-py has not heard of: it takes None for
    the node, and raises an AttributeError. Here such a node is added to the known ones.
    """

    RedisClusterRequestTTL = MOST_REDIRECTIONS
    _is_made = False

    def __init__(self, *, startup_nodes: list[ClusterNode], **options: Any) -> None:
        super().__init__(startup_nodes=startup_nodes, **options)
        self._is_made = True
        self.commands_parser = _CommandsParser(self)
        nodes: Any = self.nodes_manager  # shared with the pipelines, which look nodes up in it
        _keep_connections(startup_nodes, nodes.nodes_cache)
        nodes.get_node = partial(_get_or_add_node, nodes, nodes.get_node)
        # A signal handler may come here while its thread holds any of these locks.
        self._lock = nodes._lock = RLock()
        nodes.create_redis_node = partial(_create_reentrant, nodes.create_redis_node)
        for node in nodes.nodes_cache.values():
            if node.redis_connection is not None:
                let_reenter(node.redis_connection.connection_pool)

    def command(self, **options: Any) -> Any:
        """Ask any master for the list of commands.

        redis-py does so as it connects, of the first master alone: a round trip of the first call,
        and with that master away, it could not connect to the others. Here that one is left out.
        """
        if not self._is_made:
            return {}
        failure: Exception | None = None
        for node in self.get_primaries():  # type: ignore[no-untyped-call]
            try:
                found = super().command(target_nodes=node, **options)
            except WORTH_A_NEW_CONNECTION as exc:
                failure = exc
                continue
            self.nodes_manager.default_node = node
            return found
        raise failure or RedisClusterException("the cluster has no master")


class _CommandsParser(CommandsParser):
    """redis-py's list of commands, asked for by the first command whose keys it must find.

    What producers and workers send says where its keys are, or is a script.
    """

    def __init__(self, cluster: SyncCluster) -> None:
        self.commands: dict[str, Any] = {}
        self._cluster = cluster

    def initialize(self, _: Any) -> None:
        """Ask for the list; redis-py names the one node that it would ask."""
        super().initialize(self._cluster)  # type: ignore[no-untyped-call]


def _keep_connections(asked: list[ClusterNode], nodes: dict[str, ClusterNode]) -> None:
    """Keep the connections by which redis-py asked for the nodes; it would open others to them."""
    for each in asked:
        if each.redis_connection is not None and each.name in nodes:
            nodes[each.name].redis_connection = each.redis_connection
            each.redis_connection = None  # else closed with it


class NodePool(SharedPool):
    """A node's connections. redis-py 8 would close those by which it asked for the nodes.

    It does so to clear the state of connections that read from replicas; here none does.
    """

    def disconnect_free_connections(self, *_: Any, **__: Any) -> None:
        """Leave them open."""


def _create_reentrant(create: Callable[..., Any], *address: Any, **options: Any) -> Any:
    """Create a node's client with a pool whose lock a thread may take again."""
    client = create(*address, **options)
    let_reenter(client.connection_pool)
    return client


def _get_or_add_node(
    nodes: Any,
    get_node: Callable[..., Any],
    host: Any = None,
    port: Any = None,
    node_name: Any = None,
) -> Any:
    """Return a node of redis-py's list; one that is asked for by name is added if it is missing."""
    node = get_node(host, port, node_name)
    if node is None and node_name:
        node = ClusterNode(*host_and_port(node_name), PRIMARY)  # type: ignore[no-untyped-call]
        node = nodes.nodes_cache.setdefault(node.name, node)
    return node


def _look_again(cluster: Any, node: Any) -> None:
    """Ask which node holds what by now, after one failed, as redis-py's own commands do."""
    found, nodes = node.redis_connection, cluster.nodes_manager
    if found is not None:  # its idle connections lead to the same server
        found.connection_pool.disconnect(inuse_connections=False)
    lost = nodes.startup_nodes.pop(node.name, None)
    if lost is not None:
        nodes.startup_nodes[node.name] = lost  # at the end
    with suppress(RedisError, RedisClusterException):  # the next command meets it, too
        nodes.initialize(**({"last_failed_node_name": node.name} if _ASKS_LAST else {}))


def host_and_port(node_name: str) -> tuple[str, int]:
    """Host and port of a node that redis-py names "HOST:PORT"."""
    host, _, port = node_name.rpartition(":")
    return host, int(port)


def is_cluster_client(client: Any) -> bool:
    """Whether a client is for Redis Cluster: ours, or one of redis-py that the application passed."""
    return isinstance(client, (ClusterClient, redis.RedisCluster))


class ClusterClient(RedisClusterCommands):
    """The commands of a Redis Cluster.

    May be shared between threads and carried over a fork.

    Args:
        connect: Makes redis-py's client, which connects.
        retries: Used for single commands; a pipeline is sent once.
    """

    _event_dispatcher: Any = None  # redis-py declares it for every client; ours reports nothing

    def __init__(self, connect: Callable[[], Any], retries: Retries) -> None:
        self._clusters = PerProcess(connect)
        self._retries = retries

    @property
    def cluster(self) -> Any:
        """This process' client of redis-py, connected."""
        return self._clusters.get()

    def execute_command(self, *words: Any, **options: Any) -> Any:
        """Run one command on the node, or the nodes, of its keys."""
        return self._retries.run(lambda: self._execute(words, options))

    def _execute(self, words: tuple[Any, ...], options: dict[str, Any]) -> Any:
        try:
            return self.cluster.execute_command(*words, **options)
        except RedisError as exc:
            self._note_user(exc)
            raise
        except Exception:  # no node was found, or redis-py failed in a way of its own
            self.forget()
            raise

    def _note_user(self, exc: RedisError) -> None:
        cluster = self._clusters.peek()
        if cluster is not None:
            note_user(exc, cluster.nodes_manager.connection_kwargs)

    def _split_command_across_slots(self, command: str, *keys: Any) -> Any:
        """Send DEL, UNLINK and their like whole: our keys of one command lie in one slot.

        redis-py would sort them by slot first, with parts that only its own client has.
        """
        return self.execute_command(command, *keys)

    def exchange(self, key: str, packed: bytes, replies: int = 1) -> list[Any]:
        """Send packed commands once to the node that holds *key*; see `exchanges.exchange`.

        The keys of all of them lie in that slot. What another node holds by now is answered with one
        of NOT_RUN_HERE, and follows its slot by `execute_command`.
        """
        cluster = self.cluster
        try:
            node = cluster.get_node_from_key(key)
        except RedisClusterException as exc:  # no node is known for its slot
            return [exc] * replies
        try:
            pool = cluster.get_redis_connection(node).connection_pool
            answers = exchange(pool, packed, replies)
        except AuthenticationError:
            raise
        except (RedisConnectionError, RedisTimeoutError):
            _look_again(cluster, node)
            raise
        for each in answers:
            note_user(each, pool.connection_kwargs)
        return answers

    def pipeline(self, transaction: bool = False) -> Any:
        """Open a pipeline; it is not retried."""
        return self.cluster.pipeline(transaction=transaction)

    def pubsub(self, **options: Any) -> Any:
        """Open a subscription on the node of the channel's name."""
        return self.cluster.pubsub(**options)

    def masters(self) -> list[tuple[str, Any]]:
        """Name and client of each node that holds a part of the data."""
        cluster = self.cluster
        return [(node.name, cluster.get_redis_connection(node)) for node in cluster.get_primaries()]

    def part_of(self, key: str) -> str:
        """Name of the node that holds *key*, as last reported; "" if none is known. Asks nobody."""
        cluster = self._clusters.peek()
        if cluster is None:
            return ""
        nodes = cluster.nodes_manager.slots_cache.get(cluster.keyslot(key))
        return str(nodes[0].name) if nodes else ""

    def get_node(self, host: Any = None, port: Any = None, node_name: Any = None) -> Any:
        """A node of redis-py's list; its commands that go to all nodes ask for it."""
        return self.cluster.get_node(host, port, node_name)

    def node(self, name: str) -> Any:
        """A client of the node that is named "HOST:PORT"."""
        cluster = self.cluster
        return cluster.get_redis_connection(cluster.get_node(node_name=name))

    def node_of(self, key: str) -> Any:
        """A client of the node that holds *key*, as last reported."""
        cluster = self.cluster
        return cluster.get_redis_connection(cluster.get_node_from_key(key))

    def forget(self) -> None:
        """Connect anew at the next command, through the URL: all nodes may have moved."""
        self._clusters.pop()

    def close(self) -> None:
        """Close all connections; the next command opens new ones."""
        cluster = self._clusters.pop()
        if cluster is not None:
            cluster.close()
