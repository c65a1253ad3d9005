"""The awaits of one queue in one event loop: those that come at the same time leave together.

Stage 1 of an event's way, beneath `aio`. While one push is under way, the events of further awaits
gather, and leave in the next. Only its own loop's thread touches a `Gathering`. The task that sends
is one of the loop's, so whoever ends the loop cancels it: what it has not stored by then is stored
by a thread, which the interpreter's end waits for. Seldom work (registration, wake-ups, the spool)
runs the producer in a thread. If the process dies, events without a receipt may be lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock

from vwo_celery.connections import AsyncShare
from vwo_celery.connections.errors import lacks_script
from vwo_celery.errors import QueueFull
from vwo_celery.logs import log_surprise
from vwo_celery.producing.producer import Producer
from vwo_celery.queue.words.answers import KEPT, Pushed
from vwo_celery.queue.work.pushes import (
    Place,
    Push,
    Repeats,
    cut_off,
    placed_pages,
    send_again,
)
from vwo_celery.receipts import IN_REDIS, Receipt
from vwo_celery.threads import done_of, result_of, start_in_thread
from vwo_celery.tracing.carried import joined


class _Group:
    """The events of one await, and the receipts of the first of them.

    Attributes:
        events: The events, encoded; at least one.
        answer: Gets the receipts of all of them, or the exception that one of their pages met.
        left: Number of events without a receipt.
    """

    __slots__ = ("_failure", "_receipts", "answer", "events", "left")

    def __init__(self, events: Sequence[bytes], answer: asyncio.Future[list[Receipt]]) -> None:
        self.events = events
        self.answer = answer
        self.left = len(events)
        self._receipts: Sequence[Receipt] = ()
        self._failure: Exception | None = None

    def rest(self) -> Sequence[bytes]:
        """The events without a receipt."""
        return self.events if self.left == len(self.events) else self.events[-self.left :]

    def note(self, outcome: Receipt | Exception, count: int) -> None:
        """Note what became of the next *count* events; once all are known, answer."""
        if isinstance(outcome, Exception):
            self._failure, outcome = outcome, IN_REDIS  # the exception is all that shows
        self.left -= count
        receipts = self._receipts = [*self._receipts, *[outcome] * count]
        if self.left or self.answer.done():
            return
        if self._failure is None:
            self.answer.set_result(receipts)
        else:
            self.answer.set_exception(self._failure)


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
        self._waiting: deque[_Group] = deque()  # for the next round
        self._taken: deque[_Group] = deque()  # by the task that sends
        self._page = 0  # number of their first events that are being stored
        self._go_on: Callable[[], Receipt] | None = None  # with that page, in a thread
        self._sending: asyncio.Task[None] | None = None
        self._finishing: set[asyncio.Future[None]] = (
            set()
        )  # threads that store what it left, or tell
        self._lock = Lock()  # of what a thread tells workers
        self._untold: deque[tuple[Push, Pushed]] = deque()
        self._is_telling = False

    def submit(self, encoded: Sequence[bytes]) -> asyncio.Future[list[Receipt]]:
        """Take the events of one await, at least one; their receipts come from the future."""
        answer: asyncio.Future[list[Receipt]] = self._loop.create_future()
        self._waiting.append(_Group(encoded, answer))
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
            self._taken, self._waiting = self._waiting, deque()
            for page, place in placed_pages(_events(self._taken)):
                self._page = len(page)
                try:
                    outcome: Receipt | Exception = await self._store(page, place)
                except Exception as exc:
                    outcome = self._outcome(exc, len(page))
                _answer(self._taken, self._page, outcome)
                self._page = 0
        self._sending = None

    def _end(self, sending: asyncio.Task[None]) -> None:
        """Have a thread store what a task has left that was cancelled, maybe before it began."""
        if self._sending is sending:
            self._sending = None
        if not sending.cancelled() and sending.exception() is None:
            return
        left, page, go_on = self._taken + self._waiting, self._page, self._go_on
        self._taken, self._waiting, self._page = deque(), deque(), 0
        if left:
            self._keep(done_of(start_in_thread(self._finish, left, _events(left), page, go_on)))

    def _finish(
        self,
        left: deque[_Group],
        events: Sequence[bytes],
        page: int,
        go_on: Callable[[], Receipt] | None,
    ) -> None:
        """Store the *page* events under way, and the rest after them; in a thread."""
        if page and go_on is not None:
            self._answer_from_thread(left, page, go_on)
            events = events[page:]
        for encoded, place in placed_pages(events):
            store = partial(self._producer.store_page, encoded, place)
            self._answer_from_thread(left, len(encoded), store)

    def _answer_from_thread(
        self, left: deque[_Group], count: int, store: Callable[[], Receipt]
    ) -> None:
        answer: Receipt | Exception
        try:
            answer = store()
        except Exception as exc:
            answer = self._outcome(exc, count)
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(_answer, left, count, answer)

    def _outcome(self, exc: Exception, count: int) -> Receipt | Exception:
        """What an await gets for an exception: only QueueFull reaches it."""
        return exc if isinstance(exc, QueueFull) else self._producer.give_up(exc, count)

    def _push_again(self, push: Push) -> Receipt:
        """Send a push again whose task was cancelled: whether it is stored is not known."""
        return self._producer.push_again(push, cut_off())

    async def _store(self, encoded: Sequence[bytes], place: Place) -> Receipt:
        producer = self._producer
        self._go_on = partial(producer.store_page, encoded, place)
        if not producer.is_registered:  # by a client for threads: it stores these events as well
            return await self._conclude(partial(producer.store_page, encoded, place))
        if not producer.asks_redis():
            return await self._conclude(partial(producer.fallback.keep, encoded))
        push = producer.prepare(encoded, place=place)
        self._go_on = partial(self._push_again, push)
        try:
            pushed = await self._push(push)
        except Exception as exc:
            return await self._conclude(partial(producer.keep_unanswered, push, exc))
        if pushed.code in KEPT:
            has_news = pushed.wakeups or pushed.watch or producer.reporter.is_due(producer.name)
            if not has_news:
                return producer.conclude(push, pushed)
            if push.replicas is None:
                self._tell_later(push, pushed)
                return IN_REDIS
        return await self._conclude(partial(producer.conclude_and_tell, push, pushed))

    def _tell_later(self, push: Push, pushed: Pushed) -> None:
        """Have a thread wake workers for events that are stored; neither they nor others wait for it."""
        with self._lock:
            self._untold.append((push, pushed))
            if self._is_telling:
                return
            self._is_telling = True
        self._keep(done_of(start_in_thread(self._tell)))

    def _tell(self) -> None:
        """Conclude pushes, in a thread, until none is left."""
        while True:
            with self._lock:
                if not self._untold:
                    self._is_telling = False
                    return
                push, pushed = self._untold.popleft()
            try:
                self._producer.conclude_and_tell(push, pushed)
            except Exception as exc:
                log_surprise(exc, "its events are in Redis; a sweep finds them")

    def _keep(self, finishing: asyncio.Future[None]) -> None:
        self._finishing.add(finishing)
        finishing.add_done_callback(self._finishing.discard)

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
        repeats, with_text = Repeats(push.mark, push.shard), False
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


def _events(groups: Iterable[_Group]) -> Sequence[bytes]:
    """The events without a receipt, in their order."""
    return joined([group.rest() for group in groups])


def _answer(groups: deque[_Group], count: int, outcome: Receipt | Exception) -> None:
    """Give the outcome of a page to those whose events it held: the first *count* without one."""
    while count:
        group = groups[0]
        if group.left <= count:
            groups.popleft()
        part = min(group.left, count)
        group.note(outcome, part)
        count -= part


def _send_in_thread(push: Push) -> Pushed:
    try:
        return push.send()
    except Exception as exc:
        return send_again(push, exc)
