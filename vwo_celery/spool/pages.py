"""Pages: the events that leave a spool together, each page under a mark of its own.

Beneath the spool. Events that were sent together stay together, since Redis stores them once under
one mark; events never sent are gathered into pages as large as a push may be. Only reads: nothing
to lose.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from vwo_celery.queue.words.marks import Mark
from vwo_celery.queue.words.registration import Registration
from vwo_celery.queue.work.pushes import PUSH_BYTES
from vwo_celery.spool.tables import keeps_contexts
from vwo_celery.tracing.carried import with_each

_EVENTS_OF = (
    "SELECT {} AS context, id, text, spooled_ms, shard, mark, sequence, life, ifnull(nonce, '') "
    "FROM events WHERE queue = ? AND id >= ? ORDER BY id"
)


class Sent(msgspec.Struct, frozen=True):
    """The shard and mark of a push, kept so that a repeat goes out under the same."""

    shard: int
    mark: str
    sequence: int
    life: str = ""
    nonce: str = ""


class Page(msgspec.Struct, frozen=True):
    """Events of one queue that one push stores, oldest first; their mark is on disk.

    Attributes:
        registration: The queue's registration.
        sent: Shard and mark.
        spooled_ms: Unix ms at which the oldest event was spooled.
        encoded: The events.
        is_last: Whether the spool held no more of this queue when the page was taken.
        place: Queue row, first and last event row in the file.
        is_new: Whether this take marked the page, so nobody has sent it before.
        sending: Tells this sending from earlier ones, see `Mark`.
        path: The spool file that it is in.
        taking: Tells this take from those of other drainers.
        taken_at: Time of the take, see `uptime_seconds`.
    """

    registration: Registration
    sent: Sent
    spooled_ms: int
    encoded: list[bytes]
    is_last: bool
    place: tuple[int, int, int]
    is_new: bool = False
    sending: str = ""
    path: str = ""
    taking: str = ""
    taken_at: float = 0.0

    @property
    def queue(self) -> str:
        """Name of the queue."""
        return self.registration.destination.queue

    @property
    def mark(self) -> Mark:
        """Mark of the push."""
        sent = self.sent
        return Mark(
            sent.mark, sent.sequence, len(self.encoded), sent.life, self.sending, nonce=sent.nonce
        )


class Content(msgspec.Struct, frozen=True):
    """One queue's share of a spool."""

    queue: str
    events: int
    bytes: int
    oldest_ms: int

    def __add__(self, other: Content) -> Content:
        """The queue's share of two files."""
        return Content(
            self.queue,
            self.events + other.events,
            self.bytes + other.bytes,
            min(self.oldest_ms, other.oldest_ms),
        )


def read_page(
    db: sqlite3.Connection, registration: Registration, start: tuple[int, int], most_events: int
) -> Page:
    """Return the page that begins at *start*: events that were sent together, or may be."""
    column = "trace" if keeps_contexts(db) else "NULL"
    rows: Iterator[tuple[Any, ...]] = db.execute(_EVENTS_OF.format(column), start)
    context, last, oldest, spooled_ms, *under = next(rows)
    encoded, contexts, room, is_last = [oldest], [context], PUSH_BYTES - len(oldest), True
    for context, number, event, _, *its in rows:
        room -= len(event)
        if its != under or (under[1] is None and (len(encoded) >= most_events or room < 0)):
            is_last = False
            break
        encoded.append(event)
        contexts.append(context)
        last = number
    sent = Sent(*under) if under[1] is not None else Sent(0, "", 0)
    traced = with_each(encoded, contexts)
    return Page(registration, sent, spooled_ms, traced, is_last, (*start, last))
