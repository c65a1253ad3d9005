"""redis-py's Cluster client for asyncio: few connections, and it follows an ASK to an unknown node.

Beneath the clients; nothing to lose. See `cluster`, which does the same for threads. Imported only
where asyncio is used.
"""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio as aio
from redis._parsers import AsyncCommandsParser
from redis.asyncio.cluster import ClusterNode, PipelineCommand
from redis.cluster import PRIMARY
from redis.exceptions import MaxConnectionsError

from vwo_celery.connections.causes import explained
from vwo_celery.connections.cluster import MOST_REDIRECTIONS, host_and_port
from vwo_celery.connections.errors import REDIS_ERRORS, WORTH_A_NEW_CONNECTION
from vwo_celery.connections.pools import MOST_CONNECTIONS


class AsyncCluster(aio.RedisCluster):
    """redis-py's client, with fewer attempts on a slot that lies between two nodes.

    It runs as many commands at once as it may open connections to one node; further ones wait, since
    redis-py has no pool whose connections they could wait for.

    Args:
        wait_seconds: Longest wait of a command.
        max_connections: Most connections to one node.
        args, options: redis-py's.
    """

    RedisClusterRequestTTL = MOST_REDIRECTIONS

    def __init__(
        self,
        *args: Any,
        wait_seconds: float,
        max_connections: int = MOST_CONNECTIONS,
        **options: Any,
    ) -> None:
        options["max_connections"] = max_connections
        super().__init__(*args, **options)
        self.commands_parser = _CommandsParser(self.nodes_manager)
        self._wait_seconds = wait_seconds
        self._turns = asyncio.Semaphore(max_connections)

    async def initialize(self, *arguments: Any, **options: Any) -> Any:
        """Ask for the nodes, unless they are known; a file of TLS behind a failure is named."""
        try:
            return await super().initialize(*arguments, **options)
        except REDIS_ERRORS as exc:
            raise explained(exc, self.connection_kwargs) from exc.__cause__

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        """Run one command on the node of its keys, when its turn has come.

        Raises:
            MaxConnectionsError: All connections were in use for too long.
        """
        if self._turns.locked():
            try:
                await asyncio.wait_for(self._turns.acquire(), self._wait_seconds)
            except asyncio.TimeoutError:
                raise MaxConnectionsError("no connection became free in time") from None
        else:
            await self._turns.acquire()
        try:
            return await super().execute_command(*words, **options)
        finally:
            self._turns.release()

    def get_node(self, host: Any = None, port: Any = None, node_name: Any = None) -> Any:
        """Return a node; one that is asked for by name, as by an ASK, is added if it is missing."""
        node = super().get_node(host, port, node_name)
        if not node_name:
            return node
        if node is None:
            found = ClusterNode(
                *host_and_port(node_name), PRIMARY, **self.nodes_manager.connection_kwargs
            )
            node = self.nodes_manager.nodes_cache.setdefault(found.name, found)
        return _Asked(node)


class _CommandsParser(AsyncCommandsParser):
    """redis-py's list of commands, asked of any master: with the first one away, of the next."""

    def __init__(self, nodes: Any) -> None:
        super().__init__()
        self._nodes = nodes

    async def initialize(self, node: Any = None) -> None:
        """Ask *node* for the list, or another master if that one does not answer."""
        others = [
            each for each in self._nodes.get_nodes_by_server_type(PRIMARY) if each is not node
        ]
        for number, each in enumerate([node, *others], 1):
            try:
                await super().initialize(each)
            except WORTH_A_NEW_CONNECTION:
                if number > len(others):
                    raise
            else:
                self._nodes.default_node = each
                return


class _Asked:
    """The node that an ASK names: ASKING and the command that follows share one connection.

    redis-py takes a connection for each of the two; other tasks may have taken the first one meanwhile.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._asking = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        """Run a command of the caller's; ASKING itself is sent together with the next command."""
        if words == ("ASKING",):
            self._asking = True
            return None
        if not self._asking:
            return await self._node.execute_command(*words, **options)
        self._asking = False
        command = PipelineCommand(1, *words)
        await self._node.execute_pipeline([PipelineCommand(0, "ASKING"), command])
        if isinstance(command.result, Exception):
            raise command.result
        return command.result
