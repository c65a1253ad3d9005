"""What the tests of enqueue.lua and append.lua share: a mark, an event, a shard's note, an answer."""

from __future__ import annotations

from lua.world import LIFE
from vwo_celery.queue.answers import STORED, Pushed
from vwo_celery.queue.marks import Mark

MARK = "mark:m"
#: A shard that the sweep already watches: a push announces nothing.
KNOWN = {"watched": 1}
NINE = b"123456789"  # ten bytes with its separator


def mark(sequence: int = 1) -> Mark:
    """A producer's mark, raised for its next push."""
    return Mark("m", sequence, life=LIFE)


def stored(sealed: int = 0, wakeups: int = 0, watch: int = 0) -> Pushed:
    """The answer to a push that was stored."""
    return Pushed(STORED, sealed, wakeups, watch)
