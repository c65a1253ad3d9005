"""What leaves a spool together: pages of events, and what each is sent under.

Place: an edge, beneath the spool. Events that were sent together stay together, since they are stored
once under one mark; those never sent are gathered into pages as large as a push may be.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from vwo_celery.queue.marks import Mark
from vwo_celery.queue.pushes import PUSH_BYTES
from vwo_celery.queue.registration import Registration

_EVENTS_OF = (
    "SELECT id, text, spooled_ms, shard, mark, sequence, life FROM events "
    "WHERE queue = ? AND id >= ? ORDER BY id"
)


class Sent(msgspec.Struct, frozen=True):
    """What a push is sent under, to be repeated under the same where its answer is lost."""

    shard: int
    mark: str
    sequence: int
    life: str = ""


class Page(msgspec.Struct, frozen=True):
    """Events of one queue that one push stores, oldest first; what it is sent under is on disk.

    Attributes:
        registration: The queue.
        sent: What it is sent under.
        spooled_ms: Unix ms at which its oldest event was spooled.
        encoded: The events.
        is_last: Whether the spool held no more of this queue when the page was taken.
        place: Where it is in the file.
        is_new: Whether it was marked when it was taken, so that nobody has sent it before.
        sending: Sets what is sent now apart from earlier sendings, see `Mark`.
    """

    registration: Registration
    sent: Sent
    spooled_ms: int
    encoded: list[bytes]
    is_last: bool
    place: tuple[int, int, int]
    is_new: bool = False
    sending: str = ""

    @property
    def queue(self) -> str:
        """The queue's name."""
        return self.registration.destination.queue

    @property
    def mark(self) -> Mark:
        """The mark for the push."""
        sent = self.sent
        return Mark(sent.mark, sent.sequence, len(self.encoded), sent.life, self.sending)


class Content(msgspec.Struct, frozen=True):
    """What a spool holds of one queue."""

    queue: str
    events: int
    bytes: int
    oldest_ms: int


def read_page(
    db: sqlite3.Connection, registration: Registration, start: tuple[int, int], most_events: int
) -> Page:
    """The events from *start* on that were sent together, or that may be."""
    rows: Iterator[tuple[Any, ...]] = db.execute(_EVENTS_OF, start)
    last, oldest, spooled_ms, *under = next(rows)
    encoded, room, is_last = [oldest], PUSH_BYTES - len(oldest), True
    for number, event, _, *its in rows:
        room -= len(event)
        if its != under or (under[1] is None and (len(encoded) >= most_events or room < 0)):
            is_last = False
            break
        encoded.append(event)
        last = number
    sent = Sent(*under) if under[1] is not None else Sent(0, "", 0)
    return Page(registration, sent, spooled_ms, encoded, is_last, (*start, last))
