"""One spool file: events in their order, taken page by page by one drainer at a time.

Beneath the spool; owns the file's rows. Each method is one transaction, so the process may die at
any point: events for which `put` has returned outlive a SIGKILL of every process here. A page gets
its idempotency mark on disk before it is sent, and is removed once Redis has it; if it is taken
again, Redis stores it once. Whoever takes a page leaves a word in the file; one that was taken by
another drainer since is neither unmarked nor marked anew, since that one may be sending it.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from vwo_celery.clocks import unix_ms
from vwo_celery.errors import SpoolFull, SpoolUnavailable
from vwo_celery.logs import seldom
from vwo_celery.queue import registry
from vwo_celery.queue.words.keys import new_token
from vwo_celery.queue.words.marks import uptime_seconds
from vwo_celery.queue.words.registration import UNREADABLE, Registration
from vwo_celery.queue.work.pushes import PUSH_EVENTS
from vwo_celery.spool.database import Database, begins_again, used_bytes
from vwo_celery.spool.pages import Content, Page, Sent, read_page
from vwo_celery.spool.tables import keeps_contexts
from vwo_celery.tracing.carried import of_each, spans_of

#: Approximate size of a row besides its event.
_ROW_BYTES = 64

_ADD = (
    "INSERT INTO events (queue, spooled_ms, shard, mark, sequence, life, nonce, text) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_TRACED = (
    "INSERT INTO events (queue, spooled_ms, shard, mark, sequence, life, nonce, text, trace) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_QUEUES_BY_AGE = (
    "SELECT id, name, registration, (SELECT min(id) FROM events WHERE queue = queues.id) AS first "
    "FROM queues WHERE first IS NOT NULL ORDER BY first"
)
_OLDEST = (
    "SELECT events.id, name, length(text) FROM events JOIN queues ON queues.id = queue "
    "WHERE mark IS NULL ORDER BY events.id"
)
_MARK = "UPDATE events SET shard = ?, mark = ?, sequence = ?, life = ?, nonce = ? "
_COUNT_OF = "SELECT count(*) FROM events WHERE queue = (SELECT id FROM queues WHERE name = ?)"
_TAKE = "INSERT OR REPLACE INTO drainer (id, taking) VALUES (1, ?)"
_TAKEN_BY = "SELECT taking FROM drainer"
_FORGET = "DELETE FROM events "
_OF_PAGE = "WHERE queue = ? AND id BETWEEN ? AND ? AND mark IS ? AND sequence IS ?"


class PageTaken(SpoolUnavailable):
    """Another drainer has taken the page since, or removed it; nothing is changed."""


class _Row(NamedTuple):
    """The row of a queue: its registration as it stands there, and its number."""

    registration: Registration
    number: int


class SpoolFile:
    """One spool file, opened at the first use; safe under threads, greenlets and forks.

    Every method raises SpoolUnavailable if the file cannot be used; nothing was changed then.

    Args:
        path: The file, which exists.
        checkpoint_pages: See `Database`.
    """

    def __init__(self, path: str, *, checkpoint_pages: int) -> None:
        self.path = path
        self._database = Database(path, checkpoint_pages=checkpoint_pages)
        self._known: tuple[int, dict[str, _Row]] = 0, {}

    # -- filling

    @begins_again
    def put(
        self,
        registration: Registration,
        encoded: Sequence[bytes],
        sent: Sent | None,
        *,
        most_bytes: int,
        timeout_seconds: float,
    ) -> None:
        """Keep events of one queue in their order: all of them, or none.

        Args:
            registration: The queue's registration.
            encoded: The events, at most a page of them.
            sent: Shard and mark of an earlier push of them; None for none.
            most_bytes: Size that the file may have with them.
            timeout_seconds: Longest wait for other writers.

        Raises:
            SpoolFull: The events do not fit.
        """
        under = msgspec.structs.astuple(sent) if sent is not None else (None,) * 5
        now = unix_ms()
        with self._database.transaction("spooling", timeout_seconds) as db:
            if used_bytes(db) + size_of(encoded) > most_bytes:
                raise SpoolFull(f"the spool file {self.path} is full")
            known = self._rows_of_this_connection()
            row = self._row(db, registration, known)
            rows = [(row.number, now, *under, event) for event in encoded]
            if spans_of(encoded) and keeps_contexts(db):
                traced = zip(rows, of_each(encoded), strict=True)
                db.executemany(_ADD_TRACED, [(*each, context) for each, context in traced])
            else:
                db.executemany(_ADD, rows)
        known[registration.destination.queue] = row  # not before: it may have been rolled back

    @begins_again
    def drop_oldest(
        self, wanted_bytes: int, *, timeout_seconds: float
    ) -> tuple[int, dict[str, int]]:
        """Delete the oldest events, but none that was sent, since Redis may have it.

        Returns:
            Number of bytes that are free now, at most a little more than wanted; number of deleted
            events by queue.
        """
        deleted: dict[str, int] = {}
        left = wanted_bytes
        with self._database.transaction("making room", timeout_seconds) as db:
            last = 0
            for event, queue, length in db.execute(_OLDEST):
                last = event
                deleted[queue] = deleted.get(queue, 0) + 1
                left -= length + _ROW_BYTES
                if left <= 0:
                    break
            db.execute("DELETE FROM events WHERE mark IS NULL AND id <= ?", (last,))
        return wanted_bytes - left, deleted

    def _rows_of_this_connection(self) -> dict[str, _Row]:
        opened, known = self._known
        if opened != self._database.opened:
            known = {}
            self._known = self._database.opened, known
        return known

    def _row(
        self, db: sqlite3.Connection, registration: Registration, known: Mapping[str, _Row]
    ) -> _Row:
        """The row of a queue, made or renewed where it is not known."""
        name = registration.destination.queue
        row = known.get(name)
        if row is not None and row.registration is registration:
            return row
        text = registry.encode(registration)
        db.execute("INSERT OR IGNORE INTO queues (name, registration) VALUES (?, ?)", (name, text))
        db.execute("UPDATE queues SET registration = ? WHERE name = ?", (text, name))
        number: int = db.execute("SELECT id FROM queues WHERE name = ?", (name,)).fetchone()[0]
        return _Row(registration, number)

    # -- draining

    @begins_again
    def take(
        self,
        *,
        skip: Collection[str] = (),
        most_events: Mapping[str, int] | None = None,
        timeout_seconds: float,
    ) -> Page | None:
        """Take the oldest page; a page that was taken before and is still here comes again.

        Args:
            skip: Queues to leave alone.
            most_events: Most events of a page, by queue, where it is less than usual.
            timeout_seconds: Longest wait for other writers.

        Returns:
            The page, or None if there is none.
        """
        with self._database.transaction("taking a page", timeout_seconds) as db:
            for queue, name, text, first in db.execute(_QUEUES_BY_AGE).fetchall():
                registration = None if name in skip else _readable(name, text)
                if registration is not None:
                    most = (most_events or {}).get(name, PUSH_EVENTS)
                    page = read_page(db, registration, (queue, first), most)
                    return self._taken(db, page)
        return None

    def _taken(self, db: sqlite3.Connection, page: Page) -> Page:
        taking = new_token()
        db.execute(_TAKE, (taking,))
        page = msgspec.structs.replace(
            page, path=self.path, taking=taking, taken_at=uptime_seconds()
        )
        if not page.sent.mark:
            return self._marked(db, page)
        return msgspec.structs.replace(page, sending=f"d{new_token()[:6]}")

    def _marked(self, db: sqlite3.Connection, page: Page) -> Page:
        registration = page.registration
        sent = Sent(random.randrange(registration.shards), new_token(), len(page.encoded))
        db.execute(_MARK + _OF_PAGE, (*msgspec.structs.astuple(sent), *page.place, None, None))
        return msgspec.structs.replace(page, sent=sent, is_new=True)

    @begins_again
    def mark_anew(self, page: Page, *, timeout_seconds: float) -> Page:
        """Give a page another mark, since nothing can be stored under its own.

        Raises:
            PageTaken: Another drainer has it.
        """
        with self._database.transaction("marking a page", timeout_seconds) as db:
            self._unmark(db, page)
            return self._marked(db, page)

    @begins_again
    def put_back(self, page: Page, *, timeout_seconds: float) -> None:
        """Unmark a refused page; the next `take` may split its events differently.

        Raises:
            PageTaken: Another drainer has it.
        """
        with self._database.transaction("putting a page back", timeout_seconds) as db:
            self._unmark(db, page)

    def _unmark(self, db: sqlite3.Connection, page: Page) -> None:
        if db.execute(_TAKEN_BY).fetchone() != (page.taking,):
            raise PageTaken(f"another drainer has taken the page since, of {self.path}")
        key = (*page.place, page.sent.mark, page.sent.sequence)
        unmarked = db.execute(_MARK + _OF_PAGE, (None, None, None, None, None, *key)).rowcount
        if unmarked != len(page.encoded):
            raise PageTaken(f"another drainer has removed the page, of {self.path}")

    @begins_again
    def remove(self, page: Page, *, timeout_seconds: float) -> bool:
        """Delete a page that Redis has stored; False if another drainer has done so."""
        with self._database.transaction("removing a page", timeout_seconds) as db:
            place = (*page.place, page.sent.mark, page.sent.sequence)
            return db.execute(_FORGET + _OF_PAGE, place).rowcount > 0

    @begins_again
    def delete_if_empty(self, *, timeout_seconds: float) -> bool:
        """Delete the file if it holds no event; False if it does."""
        with self._database.transaction("tidying up", timeout_seconds) as db:
            if db.execute("SELECT 1 FROM events LIMIT 1").fetchone():
                return False
            self._database.delete()
        self._database.forget()
        return True

    def checkpoint(self) -> None:
        """Copy the WAL into the database, without holding up writers."""
        self._database.checkpoint()

    # -- looking

    @begins_again
    def count(self, queue: str | None = None, *, timeout_seconds: float) -> int:
        """Count the events of one queue, or of all."""
        with self._database.transaction("counting", timeout_seconds, writing=False) as db:
            if queue is None:
                found = db.execute("SELECT count(*) FROM events")
            else:
                found = db.execute(_COUNT_OF, (queue,))
            return int(found.fetchone()[0])

    @begins_again
    def contents(self, *, timeout_seconds: float) -> list[Content]:
        """List each queue's share of the file; reads all of it."""
        with self._database.transaction("looking", timeout_seconds, writing=False) as db:
            rows = db.execute(
                "SELECT name, count(*), sum(length(text)), min(spooled_ms) FROM events "
                "JOIN queues ON queues.id = queue GROUP BY queue ORDER BY min(events.id)"
            )
            return [Content(*row) for row in rows]

    @begins_again
    def used_bytes(self, *, timeout_seconds: float) -> int:
        """Size of the file without its free pages."""
        with self._database.transaction("looking", timeout_seconds, writing=False) as db:
            return used_bytes(db)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._database.close()


def size_of(encoded: Sequence[bytes]) -> int:
    """Approximate size of events in a spool file, with their trace contexts."""
    contexts = sum(len(each.context) * (each.end - each.start) for each in spans_of(encoded))
    return sum(map(len, encoded)) + _ROW_BYTES * len(encoded) + contexts


def _readable(queue: str, text: bytes) -> Registration | None:
    """Read a queue's registration; None, and a warning, if this release cannot."""
    try:
        return registry.decode(queue, text, None)
    except UNREADABLE as exc:
        seldom.warn(
            f"registration of {queue}", "queue %s stays in the spool: this release cannot read its "
            "registration (%s); if a later release wrote it, run that one", queue, exc,
        )  # fmt: skip
        return None
