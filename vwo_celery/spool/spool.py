"""The spool: one SQLite file on this host that holds events while Redis does not take them.

Beside stage 1; owns the file. Each method is one transaction, so the process may die at any point:
events for which `put` has returned outlive a SIGKILL of every process here. A page gets its
idempotency mark on disk before it is sent, and is removed once Redis has it; if it is taken again,
Redis stores it once. A `.pending` file beside the database shows that it holds something, so an
idle process need not open it.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from vwo_celery.clocks import unix_ms
from vwo_celery.errors import SpoolFull
from vwo_celery.logs import seldom
from vwo_celery.queue import registry
from vwo_celery.queue.keys import new_token
from vwo_celery.queue.pushes import PUSH_EVENTS
from vwo_celery.queue.registration import UNREADABLE, Registration
from vwo_celery.spool.database import Database, SpoolDamaged, begins_again, used_bytes
from vwo_celery.spool.files import FILE_MODE, SpoolFiles
from vwo_celery.spool.pages import Content, Page, Sent, read_page
from vwo_celery.text.amounts import size

#: Longest wait for other writers, where no request waits.
LOCK_TIMEOUT_SECONDS = 5.0
#: Size of the WAL in pages from which a commit copies it into the database: higher for requests,
#: since the drainer can copy it while no request waits.
_CHECKPOINT_OF_REQUESTS_PAGES, _CHECKPOINT_PAGES = 4000, 1000
#: Approximate size of a row besides its event.
_ROW_BYTES = 64
#: Least space that `make_room` frees: this part of the capacity, and this many bytes.
_ROOM_SHARE, _LEAST_ROOM_BYTES = 100, 16_384

_ADD = (
    "INSERT INTO events (queue, spooled_ms, shard, mark, sequence, life, text) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_QUEUES_BY_AGE = (
    "SELECT id, name, registration, (SELECT min(id) FROM events WHERE queue = queues.id) AS first "
    "FROM queues WHERE first IS NOT NULL ORDER BY first"
)
_OLDEST = (
    "SELECT events.id, name, length(text) FROM events JOIN queues ON queues.id = queue "
    "WHERE mark IS NULL ORDER BY events.id"
)
_MARK = "UPDATE events SET shard = ?, mark = ?, sequence = ?, life = ? "
_COUNT_OF = "SELECT count(*) FROM events WHERE queue = (SELECT id FROM queues WHERE name = ?)"
_FORGET = "DELETE FROM events "
_OF_PAGE = "WHERE queue = ? AND id BETWEEN ? AND ? AND mark IS ? AND sequence IS ?"


class _Row(NamedTuple):
    """The row of a queue: its registration as it stands there, and its number."""

    registration: Registration
    number: int


class Spool:
    """One spool, opened at the first use; safe under threads, greenlets and forks.

    Every method raises SpoolUnavailable if the file cannot be used; nothing was changed then.

    Args:
        files: The spool's files.
        max_bytes: The spool's capacity.
        for_requests: Whether requests wait for its methods.
    """

    def __init__(self, files: SpoolFiles, *, max_bytes: int, for_requests: bool = False) -> None:
        self.files = files
        self.max_bytes = max_bytes
        pages = _CHECKPOINT_OF_REQUESTS_PAGES if for_requests else _CHECKPOINT_PAGES
        self._database = Database(files, checkpoint_pages=pages)
        self._known: tuple[tuple[int, ...], dict[str, _Row]] = (), {}

    @property
    def holds_something(self) -> bool:
        """Whether it may hold events; costs one `stat`, and opens nothing."""
        return self.files.hold_something

    # -- filling

    def put(
        self,
        registration: Registration,
        encoded: Sequence[bytes],
        sent: Sent | None = None,
        *,
        timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    ) -> None:
        """Keep events of one queue in their order: all of them, or none.

        Args:
            registration: The queue's registration.
            encoded: The events, at most a page of them.
            sent: Shard and mark of an earlier push of them; None for none.
            timeout_seconds: Longest wait for other writers.

        Raises:
            SpoolFull: The events do not fit.
        """
        try:
            self._put(registration, encoded, sent, timeout_seconds)
        except SpoolDamaged:  # the damaged file is put aside, so a new one takes them
            self._put(registration, encoded, sent, timeout_seconds)

    @begins_again
    def _put(
        self,
        registration: Registration,
        encoded: Sequence[bytes],
        sent: Sent | None,
        timeout_seconds: float,
    ) -> None:
        under = msgspec.structs.astuple(sent) if sent is not None else (None,) * 4
        now = unix_ms()
        with self._database.transaction("spooling", timeout_seconds) as db:
            self._check_capacity(db, encoded)
            known = self._rows_of_this_filling()
            row = self._row(db, registration, known)
            db.executemany(_ADD, [(row.number, now, *under, event) for event in encoded])
        known[registration.destination.queue] = row  # not before: it may have been rolled back

    def _check_capacity(self, db: sqlite3.Connection, encoded: Sequence[bytes]) -> None:
        wanted = sum(map(len, encoded)) + _ROW_BYTES * len(encoded)
        if used_bytes(db) + wanted > self.max_bytes:
            raise SpoolFull(
                f"the spool {self.files.database} is at its capacity (max_spool_bytes, "
                f"{size(self.max_bytes)})"
            )

    @begins_again
    def make_room(
        self, encoded: Sequence[bytes], *, timeout_seconds: float = LOCK_TIMEOUT_SECONDS
    ) -> dict[str, int]:
        """Delete the oldest events, so that *encoded* may fit.

        Events that were sent stay, since Redis may have them.

        Returns:
            Number of deleted events by queue.

        Raises:
            SpoolFull: All events were sent, or *encoded* would need more than half of the spool.
        """
        wanted = sum(map(len, encoded)) + _ROW_BYTES * len(encoded)
        if 2 * wanted > self.max_bytes:
            raise SpoolFull(f"{size(wanted)} at once are more than half of the spool's capacity")
        wanted = max(wanted, self.max_bytes // _ROOM_SHARE, _LEAST_ROOM_BYTES)
        deleted: dict[str, int] = {}
        with self._database.transaction("making room", timeout_seconds) as db:
            last = 0
            for event, queue, length in db.execute(_OLDEST):
                last = event
                deleted[queue] = deleted.get(queue, 0) + 1
                wanted -= length + _ROW_BYTES
                if wanted <= 0:
                    break
            db.execute("DELETE FROM events WHERE mark IS NULL AND id <= ?", (last,))
        if not deleted:
            raise SpoolFull("all that the spool holds is on its way already")
        return deleted

    def _rows_of_this_filling(self) -> dict[str, _Row]:
        """Make the `.pending` file; return the rows known since the spool was last empty.

        Both this and the removal of the file run inside a transaction, so they cannot cross.
        """
        try:
            found = os.stat(self.files.pending)
        except FileNotFoundError:
            self._make_pending()
            found = os.stat(self.files.pending)
        filling = (found.st_ino, found.st_mtime_ns, self._database.opened)
        of_filling, known = self._known
        if filling != of_filling:
            known = {}
            self._known = filling, known
        return known

    def _make_pending(self) -> None:
        """Make the `.pending` file unless it exists."""
        os.close(os.open(self.files.pending, os.O_CREAT | os.O_WRONLY, FILE_MODE))

    def _row(
        self, db: sqlite3.Connection, registration: Registration, known: Mapping[str, _Row]
    ) -> _Row:
        """The row of a queue, made or renewed where it is not known."""
        name = registration.destination.queue
        row = known.get(name)
        if row is not None and row.registration is registration:
            return row
        text = msgspec.json.encode(registration)
        db.execute("INSERT OR IGNORE INTO queues (name, registration) VALUES (?, ?)", (name, text))
        db.execute("UPDATE queues SET registration = ? WHERE name = ?", (text, name))
        number: int = db.execute("SELECT id FROM queues WHERE name = ?", (name,)).fetchone()[0]
        return _Row(registration, number)

    # -- draining

    @begins_again
    def take(
        self, *, skip: Collection[str] = (), most_events: Mapping[str, int] | None = None
    ) -> Page | None:
        """Take the oldest page; a page that was taken before and is still here comes again.

        Args:
            skip: Queues to leave alone.
            most_events: Most events of a page, by queue, where it is less than usual.

        Returns:
            The page, or None if there is none.
        """
        if not self.holds_something:
            return None
        with self._transaction("taking a page") as db:
            for queue, name, text, first in db.execute(_QUEUES_BY_AGE).fetchall():
                registration = None if name in skip else _readable(name, text)
                if registration is not None:
                    most = (most_events or {}).get(name, PUSH_EVENTS)
                    page = read_page(db, registration, (queue, first), most)
                    if not page.sent.mark:
                        return self._marked(db, page)
                    return msgspec.structs.replace(page, sending=f"d{new_token()[:6]}")
        return None

    def _marked(self, db: sqlite3.Connection, page: Page) -> Page:
        registration = page.registration
        sent = Sent(random.randrange(registration.shards), new_token(), len(page.encoded))
        db.execute(_MARK + _OF_PAGE, (*msgspec.structs.astuple(sent), *page.place, None, None))
        return msgspec.structs.replace(page, sent=sent, is_new=True)

    @begins_again
    def mark_anew(self, page: Page) -> Page:
        """Give a page another mark, since nothing can be stored under its own."""
        with self._transaction("marking a page") as db:
            self._unmark(db, page)
            return self._marked(db, page)

    @begins_again
    def put_back(self, page: Page) -> None:
        """Unmark a refused page; the next `take` may split its events differently."""
        with self._transaction("putting a page back") as db:
            self._unmark(db, page)

    def _unmark(self, db: sqlite3.Connection, page: Page) -> None:
        key = (*page.place, page.sent.mark, page.sent.sequence)
        db.execute(_MARK + _OF_PAGE, (None, None, None, None, *key))

    @begins_again
    def remove(self, page: Page) -> None:
        """Delete a page that Redis has stored."""
        with self._transaction("removing a page") as db:
            db.execute(_FORGET + _OF_PAGE, (*page.place, page.sent.mark, page.sent.sequence))

    @begins_again
    def tidy(self) -> bool:
        """Delete the queues of an empty spool and free its space; False if it is not empty."""
        if not self.holds_something:
            return True
        try:
            with self._transaction("tidying up") as db:
                if db.execute("SELECT 1 FROM events LIMIT 1").fetchone():
                    return False
                db.execute("DELETE FROM queues")
                os.unlink(self.files.pending)
        except BaseException:
            with suppress(OSError):
                self._make_pending()  # a call that ended this transaction may have spooled an event
            raise
        self._database.shrink()
        return True

    def checkpoint(self) -> None:
        """Copy the WAL into the database, without holding up writers."""
        self._database.checkpoint()

    # -- looking

    @begins_again
    def count(self, queue: str | None = None) -> int:
        """Count the events of one queue, or of all."""
        if not self.holds_something:
            return 0
        with self._transaction("counting", writing=False) as db:
            if queue is None:
                found = db.execute("SELECT count(*) FROM events")
            else:
                found = db.execute(_COUNT_OF, (queue,))
            return int(found.fetchone()[0])

    @begins_again
    def contents(self) -> list[Content]:
        """List each queue's share of the spool; reads all of it."""
        if not self.holds_something:
            return []
        with self._transaction("looking", writing=False) as db:
            rows = db.execute(
                "SELECT name, count(*), sum(length(text)), min(spooled_ms) FROM events "
                "JOIN queues ON queues.id = queue GROUP BY queue ORDER BY min(events.id)"
            )
            return [Content(*row) for row in rows]

    @begins_again
    def used_bytes(self) -> int:
        """Bytes of the capacity in use; 0 if the spool is empty."""
        if not self.holds_something:
            return 0
        with self._transaction("looking", writing=False) as db:
            return used_bytes(db)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._database.close()

    def _transaction(self, doing: str, *, writing: bool = True) -> Any:
        return self._database.transaction(doing, LOCK_TIMEOUT_SECONDS, writing=writing)


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
