"""Clients for Redis: one server, Sentinel or Cluster; their retries and the meaning of their errors.

Files, in reading order: `clients` (open every client), `cluster` (the Cluster client),
`async_cluster` (the same for asyncio), `retries` (when a command is sent again), `errors` (the
client's exceptions turned into ours). This package opens connections and sends no command; it holds
nothing that could be lost.
"""

from __future__ import annotations

from vwo_celery.connections.clients import open_async_client, open_client, open_worker_client
from vwo_celery.connections.errors import unavailable

__all__ = ["open_async_client", "open_client", "open_worker_client", "unavailable"]
