"""The SQLite database of a spool file: opened, closed before a fork, put aside if damaged.

Beneath the spool. WAL with synchronous=NORMAL: a commit outlives a SIGKILL of every process here,
but is not fsynced, so a power cut may lose the last moments. An empty file is deleted inside a
transaction, and every transaction sees whether its file is still there, so nothing is written into
a file that is gone. Each connection is closed before a fork, and opened again at the next use.

A signal handler, a `__del__` or another greenlet may come here in the middle of a transaction of
its own thread, which cannot go on before it returns. It ends that transaction, which changes
nothing, and runs its own; the interrupted one finds itself without its connection, and starts
again.
"""

from __future__ import annotations

import os
import sqlite3
from _thread import RLock  # in C, also under gevent, whose own is taken in steps
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import ParamSpec, TypeVar

from vwo_celery.clocks import unix_ms
from vwo_celery.errors import SpoolUnavailable
from vwo_celery.logs import log
from vwo_celery.spool.forking import FORK_WAIT_SECONDS, let_forks_pass, watch_forks
from vwo_celery.spool.tables import check_version, open_sqlite
from vwo_celery.spool.trust import SUFFIXES, check_file, check_folder

_WAL_KEPT_BYTES = 2**22
#: Most times that a transaction begins which others of its own thread keep ending.
_MOST_BEGINNINGS = 100

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class SpoolBusy(SpoolUnavailable):
    """Other threads or processes wrote for longer than the caller could wait."""


class ThreadsBusy(SpoolBusy):
    """Other threads of this process wrote for too long, so its disk is slow."""


class SpoolDamaged(SpoolUnavailable):
    """The file was damaged and has been put aside."""


class SpoolGone(SpoolUnavailable):
    """The file was drained and deleted, or moved away; nothing is changed."""


class SpoolInterrupted(SpoolBusy):
    """A call that interrupted this one in its thread ended its transaction; nothing is changed."""


def begins_again(method: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Let *method* start again when its transaction was ended by a call that interrupted it."""

    @wraps(method)
    def run(*args: Arguments.args, **options: Arguments.kwargs) -> Answer:
        for _ in range(_MOST_BEGINNINGS - 1):
            with suppress(SpoolInterrupted):
                return method(*args, **options)
        return method(*args, **options)

    return run


class Database:
    """One connection to a spool file, opened at the first use; safe under threads and forks.

    Args:
        path: The spool file.
        checkpoint_pages: Number of WAL pages from which a commit copies them into the database,
            which can take long.

    Attributes:
        opened: Number of connections opened so far.
    """

    def __init__(self, path: str, *, checkpoint_pages: int) -> None:
        self.path = path
        self._checkpoint_pages = checkpoint_pages
        self._connection: sqlite3.Connection | None = None
        self._inode = self.opened = 0
        self.start_afresh()
        watch_forks(self)

    @contextmanager
    def transaction(
        self, doing: str, timeout_seconds: float, *, writing: bool = True
    ) -> Iterator[sqlite3.Connection]:
        """Run a transaction on the connection; one that writes keeps out all other writers.

        Args:
            doing: The caller's action, for error messages.
            timeout_seconds: Longest wait for other writers.
            writing: Whether the transaction writes.

        Raises:
            SpoolInterrupted: See `begins_again`.
            SpoolGone: There is no such file any more.
            SpoolUnavailable: The file cannot be used, or others wrote for too long; nothing is
                changed.
        """
        let_forks_pass(timeout_seconds)
        if not self._lock.acquire(timeout=timeout_seconds):
            raise ThreadsBusy(f"{doing}: other threads wrote to the spool for too long")
        db = None
        try:
            self._end_interrupted()
            db = self._open(timeout_seconds)
            self._begin(db, doing, writing=writing)
            yield db
            db.execute("COMMIT")
        except (sqlite3.Error, OSError) as exc:
            if db is not None and db is not self._connection:
                db.close()
                raise SpoolInterrupted(f"{doing}: interrupted again and again") from exc
            if isinstance(exc, sqlite3.ProgrammingError):  # closed, as by the interpreter's end
                self.close()
                raise SpoolInterrupted(f"{doing}: closed again and again") from exc
            self._roll_back()
            raise self._explained(doing, exc) from exc
        except BaseException:
            if db is self._connection:
                self._roll_back()
            elif db is not None:
                db.close()
            raise
        finally:
            self._lock.release()

    def _begin(self, db: sqlite3.Connection, doing: str, *, writing: bool) -> None:
        db.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
        if writing and not self._is_there:  # deleted while this one waited, or opened it
            raise SpoolGone(f"{doing}: {self.path} is gone")

    def _end_interrupted(self) -> None:
        """End the transaction that this call interrupted in its own thread, if there is one."""
        connection = self._connection
        if connection is None or self._is_inherited or not connection.in_transaction:
            return
        self._connection = None
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
            connection.execute("PRAGMA query_only = ON")  # what is left of it changes nothing

    def checkpoint(self) -> None:
        """Copy the WAL into the database, without holding up writers."""
        with self._lock, suppress(sqlite3.Error):
            if self._connection is not None and not self._is_inherited:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def delete(self) -> None:
        """Delete the file, inside a transaction that writes."""
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def forget(self) -> None:
        """Close the connection of a file that was deleted, and delete what SQLite kept beside it."""
        with self._lock:
            self.close()
            for suffix in SUFFIXES[1:]:  # of a name that is never used again
                with suppress(OSError):
                    os.unlink(self.path + suffix)

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        is_locked = self._lock.acquire(timeout=FORK_WAIT_SECONDS)
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
        if is_locked:
            self._lock.release()

    def _open(self, timeout_seconds: float) -> sqlite3.Connection:
        if self._is_inherited:
            raise SpoolUnavailable(
                "this process was forked while the spool was open, and without Python's fork hooks; "
                "its parent must not enqueue before it forks"
            )
        if self._connection is not None and not self._is_there:
            self.close()  # the file was moved or deleted
        if self._connection is None:
            self._check()
            connection = _connect(self.path, self._checkpoint_pages, timeout_seconds)
            if self._connection is not None:  # opened by a call that interrupted this one
                self._connection.close()
            self._connection, self._inode = connection, _inode(self.path)
            self._pid, self.opened = os.getpid(), self.opened + 1
        self._connection.execute(f"PRAGMA busy_timeout = {max(1, int(1000 * timeout_seconds))}")
        return self._connection

    def _check(self) -> None:
        try:
            check_folder(os.path.dirname(self.path))
            check_file(self.path)
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise SpoolGone(f"{self.path} is gone") from exc
        self._inode = _inode(self.path)

    @property
    def _is_there(self) -> bool:
        """Whether the path still leads to the file that was opened; not if that was gone by then."""
        return self._inode != 0 and self._inode == _inode(self.path)

    @property
    def _is_inherited(self) -> bool:
        return self._connection is not None and self._pid != os.getpid()

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _explained(self, doing: str, exc: Exception) -> SpoolUnavailable:
        if _is_damage(exc):
            self._put_aside(exc)
            return SpoolDamaged(f"{doing}: {self.path} was damaged: {exc}")
        if "locked" in str(exc):
            return SpoolBusy(f"{doing}: other processes wrote to {self.path} for too long")
        self.close()  # another connection may work
        if not _inode(self.path):
            return SpoolGone(f"{doing}: {self.path} is gone")
        return SpoolUnavailable(f"{doing}: {self.path}: {exc}")

    def _put_aside(self, exc: Exception) -> None:
        """Keep a damaged file under another name, so that the next event starts a new one."""
        self.close()
        path = self.path
        if not self._is_there:
            return  # another process has put it aside
        aside = f"{path}.damaged-{unix_ms()}"
        for suffix in SUFFIXES:
            with suppress(OSError):
                os.rename(path + suffix, aside + suffix)
        log.error(
            "the spool %s is damaged (%s); what it held is in %s, a new one takes its place",
            path, exc, aside,
        )  # fmt: skip

    # -- forks

    def start_afresh(self) -> None:
        """Belong to this process, with nothing open."""
        self._pid, self._lock = os.getpid(), RLock()

    def before_fork(self) -> None:
        """Close the connection while this process forks."""
        is_locked = self._lock.acquire(timeout=FORK_WAIT_SECONDS)
        if is_locked and self._connection is not None and not self._connection.in_transaction:
            self.close()

    def after_fork_in_parent(self) -> None:
        """Release the lock."""
        with suppress(RuntimeError):  # `before_fork` did not get it in time
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Start afresh, with a lock of the child's own."""
        if self._connection is None:
            self.start_afresh()


def used_bytes(db: sqlite3.Connection) -> int:
    """Size of the database's pages in use; SQLite reuses the pages of deleted rows."""
    pages, free, page_bytes = (
        db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page_bytes)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _connect(path: str, checkpoint_pages: int, timeout_seconds: float) -> sqlite3.Connection:
    db = open_sqlite(path)
    try:
        db.execute(f"PRAGMA busy_timeout = {max(1, int(1000 * timeout_seconds))}")
        check_version(path, db)
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}").fetchall()
        db.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}").fetchall()
    except BaseException:
        db.close()
        raise
    return db


def _is_damage(exc: Exception) -> bool:
    """Whether the file is damaged; before Python 3.11 only SQLite's message tells."""
    return isinstance(exc, sqlite3.DatabaseError) and any(
        words in str(exc) for words in ("not a database", "malformed")
    )
