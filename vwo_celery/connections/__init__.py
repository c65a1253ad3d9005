"""Clients for Redis: one server, Sentinel or Cluster; their retries and the meaning of their errors.

Files, in reading order: `sharing` (one client for all queues of a process), `clients` (open every
client), `given` (a client that the application passes), `pools` (connections that calls share),
`resp` (Redis' protocol: commands packed, answers read), `exchanges` (packed bytes over one of those
connections, past redis-py's own work), `sentinels` (follow the master), `cluster` (the Cluster
client), `async_pools`, `async_exchanges` and `async_cluster` (the same for asyncio), `retries`
(when a command is sent again), `causes` (why no connection could be opened), `troubles` (what each
error of Redis means), `remedies` (what to do about it), `errors` (the client's exceptions turned
into ours). This package opens connections, asks Sentinels where the master is, and sends no other
command of its own; it holds nothing that could be lost.
"""

from __future__ import annotations

from vwo_celery.connections.clients import (
    CHECKS_NAME_BY_ITSELF,
    check_async_url,
    open_async_client,
    open_client,
    open_hint_client,
    open_worker_client,
)
from vwo_celery.connections.errors import unavailable
from vwo_celery.connections.given import twin_of
from vwo_celery.connections.sharing import (
    AsyncShare,
    leave_async_client,
    share_async_client,
    shared_client,
)

__all__ = [
    "CHECKS_NAME_BY_ITSELF",
    "AsyncShare",
    "check_async_url",
    "leave_async_client",
    "open_async_client",
    "open_client",
    "open_hint_client",
    "open_worker_client",
    "share_async_client",
    "shared_client",
    "twin_of",
    "unavailable",
]
