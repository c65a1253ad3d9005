"""The awaits of one queue in one event loop: those that come at the same time leave together.

Stage 1 of an event's way, beneath `aio`. While one push is under way, the events of further awaits
gather, and leave in the next. Only its own loop's thread touches a `Gathering`. The task that sends
is one of the loop's, so whoever ends the loop cancels it: what it has not stored by then is stored
by a thread, which the interpreter's end waits for. Seldom work (registration, wake-ups, the spool)
runs the producer in a thread. If the process dies, events without a receipt may be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from vwo_celery.connections import AsyncShare
from vwo_celery.connections.errors import lacks_script
from vwo_celery.errors import QueueFull
from vwo_celery.producing.producer import Producer
from vwo_celery.queue.answers import PLAIN, Pushed
from vwo_celery.queue.work.pushes import Push, Repeats, cut_off, pages, send_again
from vwo_celery.receipts import IN_REDIS, Receipt
from vwo_celery.threads import done_of, in_thread, result_of, start_in_thread

_Waiting = tuple[bytes, "asyncio.Future[Receipt]"]


class Gathering:
    """The awaits of one queue in the running event loop.

    Args:
        producer: The queue's producer.
        share: A function that lets this gathering use a client of this loop.

    Attributes:
        share: That client, and who uses it.
    """

    def __init__(self, producer: Producer, share: Callable[[object], AsyncShare]) -> None:
        self._producer = producer
        self._loop = asyncio.get_running_loop()
        self.share = share(self)
        self._waiting: list[_Waiting] = []  # for the next round
        self._taken: list[_Waiting] = []  # by the task that sends
        self._page: list[_Waiting] = []  # its first ones, which are being stored
        self._go_on: Callable[[], Receipt] | None = None  # with that page, in a thread
        self._sending: asyncio.Task[None] | None = None
        self._finishing: set[asyncio.Future[None]] = set()  # threads that store what it left

    def submit(self, encoded: bytes) -> asyncio.Future[Receipt]:
        """Take one event; its receipt comes from the future."""
        answer: asyncio.Future[Receipt] = self._loop.create_future()
        self._waiting.append((encoded, answer))
        if self._sending is None:
            self._start()
        return answer

    async def settle(self) -> None:
        """Wait until all events that were taken have their receipts."""
        while self._sending is not None or self._finishing:
            sending = [self._sending] if self._sending is not None else []
            await asyncio.wait([*sending, *self._finishing])

    def _start(self) -> None:
        self._sending = self._loop.create_task(self._send_waiting())
        self._sending.add_done_callback(self._end)

    async def _send_waiting(self) -> None:
        while self._waiting:
            self._taken, self._waiting = self._waiting, []
            for page in pages([event for event, _ in self._taken]):
                self._page, self._taken = self._taken[: len(page)], self._taken[len(page) :]
                try:
                    receipt = await self._store(page)
                except Exception as exc:
                    _answer(self._page, self._outcome(exc, len(page)))
                else:
                    _answer(self._page, receipt)
                self._page = []
        self._sending = None

    def _end(self, sending: asyncio.Task[None]) -> None:
        """Have a thread store what a task has left that was cancelled, maybe before it began."""
        if self._sending is sending:
            self._sending = None
        if not sending.cancelled() and sending.exception() is None:
            return
        page, go_on, rest = self._page, self._go_on, [*self._taken, *self._waiting]
        self._page, self._taken, self._waiting = [], [], []
        if page or rest:
            finishing = done_of(start_in_thread(self._finish, page, go_on, rest))
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)

    def _finish(
        self, page: list[_Waiting], go_on: Callable[[], Receipt] | None, rest: list[_Waiting]
    ) -> None:
        """Store the page under way, and the rest after it; in a thread."""
        if page and go_on is not None:
            self._answer_from_thread(page, go_on)
        for encoded in pages([event for event, _ in rest]):
            page, rest = rest[: len(encoded)], rest[len(encoded) :]
            self._answer_from_thread(page, partial(self._store_in_thread, encoded))

    def _answer_from_thread(self, page: list[_Waiting], store: Callable[[], Receipt]) -> None:
        answer: Receipt | Exception
        try:
            answer = store()
        except Exception as exc:
            answer = self._outcome(exc, len(page))
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(_answer, page, answer)

    def _outcome(self, exc: Exception, count: int) -> Receipt | Exception:
        """What an await gets for an exception: only QueueFull reaches it."""
        return exc if isinstance(exc, QueueFull) else self._producer.give_up(exc, count)

    def _store_in_thread(self, encoded: Sequence[bytes]) -> Receipt:
        return self._producer.store_encoded(encoded, [IN_REDIS] * len(encoded))[0]

    def _push_again(self, push: Push) -> Receipt:
        """Send a push again whose task was cancelled: whether it is stored is not known."""
        return self._producer.push_again(push, cut_off())

    async def _store(self, encoded: Sequence[bytes]) -> Receipt:
        producer = self._producer
        self._go_on = partial(self._store_in_thread, encoded)
        if not producer.asks_redis():
            return await self._conclude(partial(producer.fallback.keep, encoded))
        if not producer.is_registered and not await in_thread(producer.register):
            return await self._conclude(partial(producer.fallback.keep, encoded))
        push = producer.prepare(encoded)
        self._go_on = partial(self._push_again, push)
        try:
            pushed = await self._push(push)
        except Exception as exc:
            return await self._conclude(partial(producer.keep_unanswered, push, exc))
        if pushed == PLAIN and not producer.reporter.is_due(producer.name):
            return producer.conclude(push, pushed)
        return await self._conclude(partial(producer.conclude_and_tell, push, pushed))

    async def _conclude(self, store: Callable[[], Receipt]) -> Receipt:
        """Let a thread do what comes last for a page: it uses the disk, or calls Redis again."""
        job = start_in_thread(store)
        self._go_on = job.result
        return await result_of(job)

    async def _push(self, push: Push) -> Pushed:
        """Send a push, and send it again as `pushes.send_again` does."""
        if push.replicas is not None:  # which needs one connection for several answers
            job = start_in_thread(_send_in_thread, push)
            self._go_on = partial(self._conclude_later, push, job.result)
            return await result_of(job)
        repeats, with_text = Repeats(push.mark), False
        while True:
            try:
                return await push.send_by(self.share.client, with_text=with_text)
            except Exception as exc:
                if not repeats.allow(exc):
                    raise
                with_text = with_text or lacks_script(exc)

    def _conclude_later(self, push: Push, send: Callable[[], Pushed]) -> Receipt:
        try:
            pushed = send()
        except Exception as exc:
            return self._producer.keep_unanswered(push, exc)
        return self._producer.conclude(push, pushed)


def _answer(waiting: Sequence[_Waiting], answer: Receipt | Exception) -> None:
    for _, future in waiting:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _send_in_thread(push: Push) -> Pushed:
    try:
        return push.send()
    except Exception as exc:
        return send_again(push, exc)
