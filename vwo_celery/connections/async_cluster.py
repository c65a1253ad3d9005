"""redis-py's Cluster client for asyncio, which also follows an ASK to a node it had not heard of.

Beneath the clients; nothing to lose. See `cluster`, which does the same for threads. Imported only
where asyncio is used.
"""

from __future__ import annotations

from typing import Any

import redis.asyncio as aio
from redis.asyncio.cluster import ClusterNode
from redis.cluster import PRIMARY

from vwo_celery.connections.cluster import MOST_REDIRECTIONS, host_and_port


class AsyncCluster(aio.RedisCluster):
    """redis-py's client, with fewer attempts on a slot that lies between two nodes."""

    RedisClusterRequestTTL = MOST_REDIRECTIONS

    def get_node(self, host: Any = None, port: Any = None, node_name: Any = None) -> Any:
        """Return a node; one that is asked for by name, as by an ASK, is added if it is missing."""
        node = super().get_node(host, port, node_name)
        if node is None and node_name:
            found = ClusterNode(
                *host_and_port(node_name), PRIMARY, **self.nodes_manager.connection_kwargs
            )
            node = self.nodes_manager.nodes_cache.setdefault(found.name, found)
        return node
