"""Clients for Redis: one server, Sentinel or Cluster; how each repeats, and what its errors mean.

Files, in reading order: `clients` (every client that we open), `cluster` (what redis-py's Cluster
client lacks), `retries` (when a command is sent again), `errors` (redis-py's exceptions turned into
ours). This room opens connections and sends no command; it holds nothing that could be lost.
"""

from __future__ import annotations

from vwo_celery.connections.clients import open_async_client, open_client, open_worker_client
from vwo_celery.connections.errors import unavailable

__all__ = ["open_async_client", "open_client", "open_worker_client", "unavailable"]
