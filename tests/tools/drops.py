"""The drops that receivers of our signals hear, as fixtures of `drops` yield them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vwo_celery.signals import event_dropped

#: Queue, reason and count of each.
Drops = list[tuple[str, str, int]]


@contextmanager
def heard_drops() -> Iterator[Drops]:
    """Calls of event_dropped's receivers during the block."""
    heard: Drops = []

    def note(sender: str, queue: str, reason: str, count: int, **_: Any) -> None:
        assert sender == queue
        heard.append((queue, reason, count))

    event_dropped.connect(note)
    try:
        yield heard
    finally:
        event_dropped.disconnect(note)
