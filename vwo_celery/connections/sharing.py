"""One client for all queues of a process that name the same Redis; for asyncio, one in each loop.

Beneath the clients; nothing to lose. A client is closed when the last queue that uses it is gone or
has closed it. One that the application passed is the application's own, and is not found here.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import Any

from vwo_celery.connections.clients import open_async_client, open_client

_Key = tuple[object, ...]
_clients: weakref.WeakValueDictionary[_Key, Any] = weakref.WeakValueDictionary()
#: By event loop; neither a loop nor a client is kept alive by it.
_loops: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[_Key, AsyncShare]
] = weakref.WeakKeyDictionary()


def shared_client(url: str, *, timeout_seconds: float, retry_seconds: float = 0.0) -> Any:
    """The one client of this URL and these times, see `clients.open_client`; not to be closed.

    Threads share it, and a forked child may use the one that it inherits.

    Raises:
        SettingsError: The URL cannot be used.
    """
    key = (url, timeout_seconds, retry_seconds)
    client = _clients.get(key)
    if client is None:
        opened = open_client(url, timeout_seconds=timeout_seconds, retry_seconds=retry_seconds)
        client = _clients.setdefault(key, opened)
    return client


class AsyncShare:
    """A client for one event loop, and the queues that use it. Made by `share_async_client`.

    Attributes:
        client: redis-py's client.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()

    def join(self, user: object) -> AsyncShare:
        """Count *user* among those that need the client."""
        self._users.add(user)
        return self

    def leave(self, user: object) -> bool:
        """Forget *user*; return whether nobody is left, and the client shall be closed."""
        self._users.discard(user)
        return not self._users


def share_async_client(user: object, url: str, *, timeout_seconds: float) -> AsyncShare:
    """Let *user* use the one client of the running loop and this URL.

    See `clients.open_async_client`. A forked child gets another.

    Raises:
        SettingsError: The URL cannot be used.
    """
    shares = _loops.setdefault(asyncio.get_running_loop(), weakref.WeakValueDictionary())
    key = (os.getpid(), url, timeout_seconds)
    share = shares.get(key)
    if share is None:
        share = shares[key] = AsyncShare(open_async_client(url, timeout_seconds=timeout_seconds))
    return share.join(user)


async def leave_async_client(user: object, share: AsyncShare) -> None:
    """Close the client if no other queue uses it; its loop runs."""
    if share.leave(user):
        shares = _loops[asyncio.get_running_loop()]
        for key in [key for key, each in shares.items() if each is share]:
            del shares[key]  # a queue that comes meanwhile gets another
        await share.client.aclose()
