"""A client for Redis Cluster that connects when it is first used, and again where it lost its way.

Place: an edge, beneath the connections. redis-py's own asks the cluster for its nodes as it is made,
which an application that starts while Redis is away would not survive, and it repeats what failed,
which is the caller's to decide. A slot that is moved to another node (MOVED, ASK) is followed: such
a command has not run. While a slot's keys lie on two nodes, Redis answers TRYAGAIN; a worker waits
for the end of that, a producer stores elsewhere or says so. What dies with the process: nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from redis.commands import RedisClusterCommands
from redis.exceptions import ClusterError, RedisClusterException, TryAgainError

from vwo_celery.connections.errors import WORTH_A_NEW_CONNECTION
from vwo_celery.connections.retries import Patience
from vwo_celery.forks import PerProcess

#: What passes when a slot has found its place, or a replica has become the master. The second of
#: them is redis-py's word for nodes that cannot be found, and no RedisError.
UNSETTLED = (*WORTH_A_NEW_CONNECTION, ClusterError, RedisClusterException, TryAgainError)


#: Nodes that one command is sent to at most, as it follows its slot. redis-py waits after the later
#: ones where a slot lies between two nodes, more often than an enqueue has time for by its own default.
MOST_REDIRECTIONS = 4


class SyncCluster(redis.RedisCluster):
    """redis-py's client, which soon gives up on a slot between two nodes."""

    RedisClusterRequestTTL = MOST_REDIRECTIONS


def is_cluster_client(client: Any) -> bool:
    """Whether a client is of a Redis Cluster: ours, or redis-py's own where an application gave it."""
    return isinstance(client, (ClusterClient, redis.RedisCluster))


class ClusterClient(RedisClusterCommands):
    """The commands of a Redis Cluster.

    May be shared between threads and carried over a fork.

    Args:
        connect: Makes redis-py's client, which connects.
        patience: For how long to repeat a command; what is sent by `pipeline` is not repeated.
    """

    _event_dispatcher: Any = None  # redis-py asks its own clients for one; ours reports nothing

    def __init__(self, connect: Callable[[], Any], patience: Patience) -> None:
        self._clusters = PerProcess(connect)
        self._patience = patience

    @property
    def cluster(self) -> Any:
        """redis-py's client, connected by this process."""
        return self._clusters.get()

    def execute_command(self, *words: Any, **options: Any) -> Any:
        """Run one command on the node, or the nodes, that it belongs to."""
        return self._patience.run(lambda: self._execute(words, options))

    def _execute(self, words: tuple[Any, ...], options: dict[str, Any]) -> Any:
        try:
            return self.cluster.execute_command(*words, **options)
        except RedisClusterException:
            self.forget()
            raise

    def pipeline(self, transaction: bool = False) -> Any:
        """Commands sent together; they are not repeated."""
        return self.cluster.pipeline(transaction=transaction)

    def pubsub(self, **options: Any) -> Any:
        """A subscription, on the node that the channel's name belongs to."""
        return self.cluster.pubsub(**options)

    def masters(self) -> list[tuple[str, Any]]:
        """Name and client of each node that holds a part of the data."""
        cluster = self.cluster
        return [(node.name, cluster.get_redis_connection(node)) for node in cluster.get_primaries()]

    def node_of(self, key: str) -> Any:
        """A client of the node that held *key* when we last heard."""
        cluster = self.cluster
        return cluster.get_redis_connection(cluster.get_node_from_key(key))

    def forget(self) -> None:
        """Ask for the nodes anew, where the URL says: all of them may have moved."""
        self._clusters.pop()

    def close(self) -> None:
        """Close all connections; the next command opens new ones."""
        cluster = self._clusters.pop()
        if cluster is not None:
            cluster.close()
