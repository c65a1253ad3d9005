"""The spool's SQLite database: made, opened, closed before a fork, and put aside if it is damaged.

Beneath the spool. WAL with synchronous=NORMAL: a commit outlives a SIGKILL of every process here,
but is not fsynced, so a power cut may lose the last moments. A new file is made under another name
and then linked to its own, so a process that dies leaves no half-made database. SQLite's locks do
not survive a fork, so each connection is closed before one, and opened again at the next use.

A signal handler, a `__del__` or another greenlet may come here in the middle of a transaction of
its own thread, which cannot go on before it returns. It ends that transaction, which changes
nothing, and runs its own; the interrupted one finds itself without its connection, and starts
again.
"""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from _thread import RLock  # in C, also under gevent, whose own is taken in steps
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial, wraps
from typing import ParamSpec, TypeVar
from urllib.parse import quote
from uuid import uuid4

from vwo_celery.errors import SpoolUnavailable
from vwo_celery.logs import log
from vwo_celery.spool.files import FILE_MODE, SpoolFiles

#: Version of the tables below; a file with a higher one is left alone.
SCHEMA_VERSION = 1
_SCHEMA = f"""
CREATE TABLE queues (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, registration BLOB NOT NULL);
CREATE TABLE events (
    id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, spooled_ms INTEGER NOT NULL,
    shard INTEGER, mark TEXT, sequence INTEGER, life TEXT, text BLOB NOT NULL
);
CREATE INDEX events_of_queue ON events (queue);
PRAGMA user_version = {SCHEMA_VERSION};
"""
#: Suffixes of a database's files, in the order in which they are renamed. The WAL comes first:
#: SQLite would replay a stale WAL into a new database of the same name.
_SUFFIXES = ("-shm", "-wal", "")
_WAL_KEPT_BYTES = 2**22
_FREED_AT_ONCE_PAGES = 1000
#: Longest wait of a fork for a transaction that is under way.
_FORK_WAIT_SECONDS = 1.0
#: Most times that a transaction begins which others of its own thread keep ending.
_MOST_BEGINNINGS = 100

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class SpoolBusy(SpoolUnavailable):
    """Other threads or processes wrote for longer than the caller could wait."""


class SpoolDamaged(SpoolUnavailable):
    """The file was damaged and has been put aside; the next call starts a new one."""


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
    """One connection to a spool's file, opened at the first use; safe under threads and forks.

    Args:
        files: The spool's files.
        checkpoint_pages: Number of WAL pages from which a commit copies them into the database,
            which can take long.

    Attributes:
        opened: Number of connections opened so far.
    """

    def __init__(self, files: SpoolFiles, *, checkpoint_pages: int) -> None:
        self.files = files
        self._checkpoint_pages = checkpoint_pages
        self._connection: sqlite3.Connection | None = None
        self._inode = self.opened = 0
        self.start_afresh()
        _watch_forks(self)

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
            SpoolUnavailable: The file cannot be used, or others wrote for too long; nothing is
                changed.
        """
        if not self._lock.acquire(timeout=timeout_seconds):
            raise SpoolBusy(f"{doing}: other threads wrote to the spool for too long")
        db = None
        try:
            self._end_interrupted()
            db = self._open(timeout_seconds)
            db.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
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
        self._run("wal_checkpoint(PASSIVE)")

    def shrink(self) -> None:
        """Give free space back to the disk, in small steps between which others can write."""
        while self._run(f"incremental_vacuum({_FREED_AT_ONCE_PAGES})"):
            pass
        self._run("wal_checkpoint(TRUNCATE)")

    def _run(self, pragma: str) -> bool:
        """Run a pragma that may fail, outside of a transaction; whether free pages are left."""
        with self._lock, suppress(sqlite3.Error):
            if self._connection is not None and not self._is_inherited:
                # Not execute(), which ends incremental_vacuum after its first page.
                self._connection.executescript(f"PRAGMA {pragma}")
                return bool(self._connection.execute("PRAGMA freelist_count").fetchone()[0])
        return False

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _open(self, timeout_seconds: float) -> sqlite3.Connection:
        if self._is_inherited:
            raise SpoolUnavailable(
                "this process was forked while the spool was open, and without Python's fork hooks; "
                "its parent must not enqueue before it forks"
            )
        if self._connection is not None and self._inode != _inode(self.files.database):
            self.close()  # the file was moved or deleted
        if self._connection is None:
            self._inode = _inode(self.files.database)
            connection = _connect(self.files, self._checkpoint_pages)
            if self._connection is not None:  # opened by a call that interrupted this one
                self._connection.close()
            self._connection, self._inode = connection, _inode(self.files.database)
            self._pid, self.opened = os.getpid(), self.opened + 1
        self._connection.execute(f"PRAGMA busy_timeout = {max(1, int(1000 * timeout_seconds))}")
        return self._connection

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
            return SpoolDamaged(f"{doing}: {self.files.database} was damaged: {exc}")
        if "locked" in str(exc):
            return SpoolBusy(
                f"{doing}: other processes wrote to {self.files.database} for too long"
            )
        self.close()  # another connection may work
        return SpoolUnavailable(f"{doing}: {self.files.database}: {exc}")

    def _put_aside(self, exc: Exception) -> None:
        """Keep a damaged file under another name, so that the next event starts a new one."""
        self.close()
        path = self.files.database
        if self._inode != _inode(path):
            return  # another process has put it aside
        aside = f"{path}.damaged-{time.time_ns() // 1_000_000}"
        for suffix in _SUFFIXES:
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
        is_locked = self._lock.acquire(timeout=_FORK_WAIT_SECONDS)
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


_databases: weakref.WeakSet[Database] = weakref.WeakSet()


def _watch_forks(database: Database) -> None:
    _hook_into_forks()
    _databases.add(database)


@cache
def _hook_into_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=partial(_each, Database.before_fork),
            after_in_parent=partial(_each, Database.after_fork_in_parent),
            after_in_child=partial(_each, Database.after_fork_in_child),
        )


def _each(react: Callable[[Database], None]) -> None:
    for database in list(_databases):
        react(database)


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


def _connect(files: SpoolFiles, checkpoint_pages: int) -> sqlite3.Connection:
    if not os.path.exists(files.database):
        _make(files)
    db = _sqlite(files.database)
    try:
        _check_version(files, db.execute("PRAGMA user_version").fetchone()[0])
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}").fetchall()
        db.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}").fetchall()
    except BaseException:
        db.close()
        raise
    return db


def _check_version(files: SpoolFiles, version: int) -> None:
    if version > SCHEMA_VERSION:
        raise SpoolUnavailable(
            f"the spool {files.database} was written by a newer release, and is left alone; run that "
            "release to drain it, or name another spool_dir"
        )
    if version < SCHEMA_VERSION:
        raise sqlite3.DatabaseError("file is not a database of a spool")


def _make(files: SpoolFiles) -> None:
    files.make_folder()
    path = f"{files.database}.new-{uuid4().hex}"
    # Closed to other users; SQLite gives the WAL and its index the same mode.
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
    try:
        db = _sqlite(path)
        db.execute("PRAGMA synchronous = OFF")  # the file is still empty, and a request waits
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.executescript(_SCHEMA)
        db.close()
        _give_name(path, files.database)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _give_name(path: str, name: str) -> None:
    """Link the new file to its final name, unless another process was quicker."""
    try:
        os.link(path, name)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not os.path.exists(name):
            os.rename(path, name)


def _sqlite(path: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(path)}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
    )


def _is_damage(exc: Exception) -> bool:
    """Whether the file is damaged; before Python 3.11 only SQLite's message tells."""
    return isinstance(exc, sqlite3.DatabaseError) and any(
        words in str(exc) for words in ("not a database", "malformed")
    )
