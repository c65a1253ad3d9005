"""Who is told of each call that enqueues in this process, such as metrics; usually nobody.

Stage 1 of an event's way, around the call. Whatever a watcher does, the call answers as it would
without it. If the process dies here, what a watcher was told is gone with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from vwo_celery.clocks import monotonic
from vwo_celery.errors import QueueFull
from vwo_celery.logs import log_surprise
from vwo_celery.receipts import Receipt

#: Called as `watcher(receipts, seconds)` after each call, with the receipts of its events.
Watcher = Callable[[Sequence[Receipt], float], None]

_FULL: Final = Receipt(where="dropped", reason="queue_full")
_watchers: list[Watcher] = []


def is_watched() -> bool:
    """Whether anybody is to be told."""
    return bool(_watchers)


def watch(watcher: Watcher) -> None:
    """Tell *watcher* of each call from now on, of all queues of this process and of its forks."""
    _watchers.append(watcher)


def unwatch(watcher: Watcher) -> None:
    """Tell *watcher* no more."""
    _watchers.remove(watcher)


def watched(enqueue: Callable[[], list[Receipt]], events: int) -> list[Receipt]:
    """Return what *enqueue* returns, and tell of it.

    Args:
        enqueue: Stores so many events.
        events: Their number.

    Raises:
        QueueFull: As *enqueue* raises it; all its events are told of as dropped.
    """
    began = monotonic()
    try:
        receipts = enqueue()
    except QueueFull:
        _tell([_FULL] * events, began)
        raise
    _tell(receipts, began)
    return receipts


async def watched_async(enqueue: Awaitable[list[Receipt]], events: int) -> list[Receipt]:
    """Do the same for asyncio."""
    began = monotonic()
    try:
        receipts = await enqueue
    except QueueFull:
        _tell([_FULL] * events, began)
        raise
    _tell(receipts, began)
    return receipts


def _tell(receipts: Sequence[Receipt], began: float) -> None:
    seconds = monotonic() - began
    for watcher in _watchers:
        try:
            watcher(receipts, seconds)
        except Exception as exc:
            log_surprise(exc, "a call that enqueued is not counted")
