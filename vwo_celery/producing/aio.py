"""The queue for asyncio: awaits that run at the same time share round trips.

Stage 1 of an event's way, as in `producer`, with the same receipts, promises and losses. While one
push is under way, the events of further awaits gather, and leave together in the next. Seldom work
(registration, wake-ups, a flush, the spool) runs the producer in a thread: so it is written once,
and no disk blocks the loop.

    queue = vwo_celery.aio.connect(destination, batch_event_data={...})
    receipt = await queue.enqueue(event)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from vwo_celery.connections import (
    AsyncShare,
    check_async_url,
    leave_async_client,
    share_async_client,
)
from vwo_celery.connections.errors import lacks_script
from vwo_celery.destinations import Destination
from vwo_celery.errors import EventError
from vwo_celery.events import encode
from vwo_celery.producing.producer import ATTEMPT_SHARE
from vwo_celery.producing.queue import Queue, producer_of
from vwo_celery.producing.queue import connect as connect_sync
from vwo_celery.queue.answers import PLAIN, Pushed
from vwo_celery.queue.pushes import Push, Repeats, pages, send_again
from vwo_celery.receipts import DrainResult, FlushResult, Receipt
from vwo_celery.settings import Settings

_Waiting = tuple[bytes, "asyncio.Future[Receipt]"]

#: Clients inherited over a fork, kept for the life of the child. The child shares its parent's
#: epoll: a connection closed here, even by garbage collection, would vanish from the parent's event
#: loop.
_inherited: list[Any] = []


class AioQueue:
    """The queue of one destination, for asyncio. Made by `connect`.

    Any event loop may use it, one at a time; each loop gets its own connections, which all queues
    of the same Redis share.

    Attributes:
        sync: The same queue for threads, a `Queue`.
    """

    def __init__(self, queue: Queue) -> None:
        self.sync = queue
        self._producer = producer_of(queue)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._share: AsyncShare | None = None
        self._client: Any = None
        self._owner = os.getpid()
        self._waiting: list[_Waiting] = []
        self._sending: asyncio.Task[None] | None = None

    async def enqueue(self, event: Any) -> Receipt:
        """Store one event; see `Queue.enqueue`.

        Raises:
            QueueFull: Only with `when_full="raise"`; the event is not stored.
        """
        try:
            encoded = encode(event)
        except EventError as exc:
            return self._producer.drop(exc.reason, 1, str(exc))
        return await self._submit(encoded)

    async def enqueue_many(self, events: Iterable[Any]) -> list[Receipt]:
        """Store events in their order; see `Queue.enqueue_many`."""
        return list(await asyncio.gather(*(self.enqueue(event) for event in events)))

    def __reduce__(self) -> NoReturn:
        """Refuse, as `Queue` does, to be pickled or copied."""
        self.sync.__reduce__()

    async def flush_events(self, timeout_seconds: float = 10.0) -> FlushResult:
        """Send everything that was enqueued before, and wait; see `Queue.flush_events`."""
        return await asyncio.to_thread(self.sync.flush_events, timeout_seconds)

    async def spooled(self) -> int:
        """Count this queue's events on this host's disk; see `Queue.spooled`."""
        return await asyncio.to_thread(self.sync.spooled)

    async def drain_spool(self, timeout_seconds: float = 5.0) -> DrainResult:
        """Move the events of this host's spool to Redis; see `Queue.drain_spool`."""
        return await asyncio.to_thread(self.sync.drain_spool, timeout_seconds)

    async def aclose(self) -> None:
        """Wait for events that are being stored; close connections that no other queue uses."""
        if self._sending is not None and self._loop is asyncio.get_running_loop():
            await self._sending
        share, self._loop = self._leave(), None
        if share is not None:
            await leave_async_client(self, share)

    def _submit(self, encoded: bytes) -> asyncio.Future[Receipt]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._owner != os.getpid():
            self._adopt(loop)
        answer: asyncio.Future[Receipt] = loop.create_future()
        self._waiting.append((encoded, answer))
        if self._sending is None:
            self._sending = loop.create_task(self._send_waiting())
        return answer

    def _adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start afresh in another loop; awaits of the last one have ended with it."""
        settings = self.sync.settings
        share = self._leave()
        if share is not None:
            share.leave(self)
        self._loop, self._sending, self._waiting = loop, None, []
        seconds = ATTEMPT_SHARE * settings.enqueue_timeout_seconds
        self._share = share_async_client(self, settings.redis_url, timeout_seconds=seconds)
        self._client = self._share.client

    def _leave(self) -> AsyncShare | None:
        """Forget the client, and return it to be closed; None if there is none, or a parent's."""
        share, self._share, self._client = self._share, None, None
        if share is not None and self._owner != os.getpid():
            _inherited.append(share)
            share = None
        self._owner = os.getpid()
        return share

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                done = 0
                for page in pages([event for event, _ in waiting]):
                    await self._answer(waiting[done : done + len(page)], page)
                    done += len(page)
        finally:
            self._sending = None

    async def _answer(self, waiting: Sequence[_Waiting], encoded: Sequence[bytes]) -> None:
        """Store one page, and answer the awaits of its events."""
        try:
            receipt = await self._store(encoded)
        except BaseException as exc:
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(exc)
            if not isinstance(exc, Exception):
                raise
            return
        for _, answer in waiting:
            if not answer.done():
                answer.set_result(receipt)

    async def _store(self, encoded: Sequence[bytes]) -> Receipt:
        producer, thread = self._producer, asyncio.to_thread
        if not producer.asks_redis():
            return await thread(producer.fallback.keep, encoded)
        if not producer.is_registered and not await thread(producer.register):
            return await thread(producer.fallback.keep, encoded)
        push = producer.prepare(encoded)
        try:
            pushed = await self._push(push)
        except Exception as exc:
            return await thread(producer.keep_unanswered, push, exc)
        if pushed == PLAIN:
            return producer.conclude(push, pushed)
        return await thread(producer.conclude, push, pushed)  # which calls Redis again

    async def _push(self, push: Push) -> Pushed:
        """Send a push, and send it again as `pushes.send_again` does."""
        if push.replicas is not None:  # which needs one connection for several answers
            return await asyncio.to_thread(_send_in_thread, push)
        repeats, with_text = Repeats(push.mark), False
        while True:
            try:
                return await push.send_by(self._client, with_text=with_text)
            except Exception as exc:
                if not repeats.allow(exc):
                    raise
                with_text = with_text or lacks_script(exc)


def _send_in_thread(push: Push) -> Pushed:
    try:
        return push.send()
    except Exception as exc:
        return send_again(push, exc)


def connect(
    destination: Destination,
    *,
    batch_event_data: Any = None,
    strict: bool = False,
    settings: Settings | None = None,
    **arguments: Any,
) -> AioQueue:
    """Return the queue of *destination*; see `vwo_celery.connect`. Connects to nothing yet."""
    queue = connect_sync(
        destination,
        batch_event_data=batch_event_data,
        strict=strict,
        settings=settings,
        **arguments,
    )
    check_async_url(queue.settings.redis_url)
    return AioQueue(queue)
