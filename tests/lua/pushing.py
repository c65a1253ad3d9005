"""What the tests of enqueue.lua and append.lua share: a mark, an event, a shard's note, an answer."""

from __future__ import annotations

from lua.world import LIFE, World
from vwo_celery.queue.words.answers import STORED, Pushed
from vwo_celery.queue.words.marks import Mark

MARK = "mark:m"
#: A shard that the sweep already watches: a push announces nothing.
KNOWN = {"watched": 1}
NINE = b"123456789"  # ten bytes with its separator


def mark(sequence: int = 1) -> Mark:
    """A producer's mark, raised for its next push."""
    return Mark("m", sequence, life=LIFE)


def next_mark(sequence: int, stored: str | None = None) -> Mark:
    """A mark that Redis knows, raised for one event that append.lua may store.

    Args:
        sequence: Its number with that event.
        stored: The text that Redis keeps; None for the number before.
    """
    before = str(sequence - 1) if stored is None else stored
    return Mark("m", sequence, life=LIFE, stored=before, appends=True)


def given_mark(world: World, text: str) -> None:
    """A mark under which events were pushed before."""
    world.client.set(world.shard.keys.mark("m"), text, px=1_000_000)


def stored(sealed: int = 0, wakeups: int = 0, watch: int = 0) -> Pushed:
    """The answer to a push that was stored."""
    return Pushed(STORED, sealed, wakeups, watch)
