"""The queue for asyncio: awaits that run at the same time share round trips.

Stage 1 of an event's way, as in `producer`, with the same receipts, promises and losses. Any number
of event loops may use a queue at once, as under `async_to_sync` in a threaded server; what they
share is the producer, which threads may share. See `gathering` for what happens in one loop.

    import vwo_celery.aio
    queue = vwo_celery.aio.connect(destination, batch_event_data={...})
    receipt = await queue.enqueue(event)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from vwo_celery.connections import (
    AsyncShare,
    check_async_url,
    leave_async_client,
    share_async_client,
)
from vwo_celery.destinations import Destination
from vwo_celery.errors import EventError, SettingsError
from vwo_celery.producing.gathering import Gathering
from vwo_celery.producing.queue import Queue, producer_of
from vwo_celery.producing.queue import connect as connect_sync
from vwo_celery.producing.registrant import ATTEMPT_SHARE
from vwo_celery.producing.watching import is_watched, watched_async
from vwo_celery.receipts import IN_REDIS, DrainResult, FlushResult, Receipt
from vwo_celery.settings import Settings
from vwo_celery.settings.arguments import BatchOptions, SettingsArguments, with_options
from vwo_celery.threads import in_thread
from vwo_celery.tracing.api import is_sampled

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Gatherings inherited over a fork, kept for the life of the child. The child shares its parent's
#: epoll: a connection closed here, even by garbage collection, would vanish from the parent's event
#: loop.
_inherited: list[Any] = []


class AioQueue:
    """The queue of one destination, for asyncio. Made by `connect`.

    Any number of event loops may use it at the same time. Each gets its own connections, which all
    queues of the same Redis share; they are given up when the loop is closed, or by `aclose`.

    Attributes:
        sync: The same queue for threads, a `Queue`.
    """

    def __init__(self, queue: Queue) -> None:
        self.sync = queue
        self._producer = producer_of(queue)
        # By process id and loop; each loop's own thread adds its own, one step of a dict is atomic.
        self._gatherings: dict[tuple[int, asyncio.AbstractEventLoop], Gathering] = {}

    async def enqueue(self, event: Any) -> Receipt:
        """Store one event; see `Queue.enqueue`.

        Raises:
            QueueFull: Only with `when_full="raise"`; the event is not stored.
        """
        stored = self._enqueue(event)
        return (await (watched_async(stored, 1) if is_watched() else stored))[0]

    async def _enqueue(self, event: Any) -> list[Receipt]:
        try:
            encoded = self._producer.encode(event)
        except EventError as exc:
            return [self._producer.drop(exc.reason, 1, str(exc))]
        return await self._store_encoded((encoded,))

    async def enqueue_many(self, events: Iterable[Any]) -> list[Receipt]:
        """Store events in their order; see `Queue.enqueue_many`."""
        given = list(events)
        stored = self._enqueue_many(given)
        return await (watched_async(stored, len(given)) if is_watched() else stored)

    async def _enqueue_many(self, events: Sequence[Any]) -> list[Receipt]:
        encoded, receipts = self._producer.encode_many(events)
        answers = iter(await self._store_encoded(encoded))
        return [next(answers) if receipt is IN_REDIS else receipt for receipt in receipts]

    def _store_encoded(self, encoded: Sequence[bytes]) -> Awaitable[list[Receipt]]:
        if not encoded:
            return _done([])
        return self._store_traced(encoded) if is_sampled() else self._submit(encoded)

    async def _store_traced(self, encoded: Sequence[bytes]) -> list[Receipt]:
        with self._producer.sending(encoded) as call:
            return call.concluded(await self._submit(call.events))

    def _submit(self, encoded: Sequence[bytes]) -> Awaitable[list[Receipt]]:
        try:
            return self._gathering().submit(encoded)
        except Exception as exc:
            return _done([self._producer.give_up(exc, len(encoded))] * len(encoded))

    def __reduce__(self) -> NoReturn:
        """Refuse, as `Queue` does, to be pickled or copied."""
        self.sync.__reduce__()

    async def flush_events(self, timeout_seconds: float = 10.0) -> FlushResult:
        """Send everything that was enqueued before, and wait; see `Queue.flush_events`."""
        return await in_thread(self.sync.flush_events, timeout_seconds)

    async def spooled(self) -> int:
        """Count this queue's events on this host's disk; see `Queue.spooled`."""
        return await in_thread(self.sync.spooled)

    async def drain_spool(self, timeout_seconds: float = 5.0) -> DrainResult:
        """Move the events of this host's spool to Redis; see `Queue.drain_spool`."""
        return await in_thread(self.sync.drain_spool, timeout_seconds)

    async def aclose(self) -> None:
        """Wait for events of this loop that are being stored; close connections that no other queue uses.

        Other loops go on; each closes what it opened. The next `enqueue` opens the queue again.
        """
        gathering = self._gatherings.get((os.getpid(), asyncio.get_running_loop()))
        if gathering is None:
            return
        await gathering.settle()
        self._gatherings.pop((os.getpid(), asyncio.get_running_loop()), None)
        await leave_async_client(gathering, gathering.share)

    def _gathering(self) -> Gathering:
        """The gathering of the running loop."""
        key = (os.getpid(), asyncio.get_running_loop())
        found = self._gatherings.get(key)
        if found is None:
            self._forget_ended_loops()
            found = self._gatherings[key] = Gathering(self._producer, self._share)
        return found

    def _forget_ended_loops(self) -> None:
        """Give up the connections of loops that are closed; their awaits have ended with them."""
        mine = os.getpid()
        for (process, loop), gathering in list(self._gatherings.items()):
            if process != mine:
                _inherited.append(gathering)
            if process != mine or loop.is_closed():
                self._gatherings.pop((process, loop), None)

    def _share(self, user: object) -> AsyncShare:
        settings = self.sync.settings
        seconds = ATTEMPT_SHARE * settings.enqueue_timeout_seconds
        return share_async_client(user, settings.redis_url, timeout_seconds=seconds)


def store_encoded(queue: AioQueue, encoded: Sequence[bytes]) -> Awaitable[list[Receipt]]:
    """Store events that are encoded already, for this package's adapters.

    Args:
        queue: Their queue.
        encoded: The events, each one JSON object in UTF-8 that `encode` would return as it is.

    Returns:
        The receipt of each, in order, once it is awaited; it may raise QueueFull, though only with
        `when_full="raise"`: events of other thousands may be stored then.
    """
    return queue._store_encoded(encoded)


async def _done(receipts: list[Receipt]) -> list[Receipt]:
    return receipts


@with_options
def connect(
    destination: Destination,
    *,
    batch_event_data: BatchOptions = None,
    strict: bool = False,
    settings: Settings | None = None,
    redis: None = None,
    **arguments: Unpack[SettingsArguments],
) -> AioQueue:
    """Return the queue of *destination*, for asyncio. Connects to nothing yet.

    Args:
        destination: Where the events go.
        batch_event_data: The SDKs' batch options, listed below: when a batch leaves, and whom to
            tell of it. With neither number, every event leaves at once.
        strict: Raise for a wrong batch option instead of logging it and using its default.
        settings: Ready-made settings; else they come from *arguments*, Django, the environment.
        redis: Nothing: each event loop gets clients of its own.
        arguments: Single settings, listed below.

    Raises:
        DestinationError: *destination* is something else.
        SettingsError: A setting is wrong, or asyncio cannot use the Redis URL; or, with *strict*, a
            batch option; or *redis* is given.
    """
    if redis is not None:
        raise SettingsError(
            "aio.connect takes no redis: it opens clients of its own in each event loop; name the "
            "server with redis_url="
        )
    queue = connect_sync(
        destination,
        batch_event_data=batch_event_data,
        strict=strict,
        settings=settings,
        **arguments,
    )
    check_async_url(queue.settings.redis_url)
    return AioQueue(queue)
