"""The tables of a spool file: made in a new one, recognised in one that is there.

Beneath `database`. A new file is made under another name and then gets its own, so a process that
dies leaves no half-made database.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from urllib.parse import quote

from vwo_celery.errors import SpoolUnavailable
from vwo_celery.spool.forking import outside_forks
from vwo_celery.spool.trust import FileLeftAlone, check_folder, new_file

#: Version of the tables below; a file with a higher one is left alone.
SCHEMA_VERSION = 1
#: The last of the tables, which a file that was recovered from a damaged one may lack.
_LATER = f"""
CREATE TABLE IF NOT EXISTS drainer (
    id INTEGER PRIMARY KEY CHECK (id = 1), taking TEXT NOT NULL
);
PRAGMA user_version = {SCHEMA_VERSION};
"""
_SCHEMA = f"""
CREATE TABLE queues (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, registration BLOB NOT NULL);
CREATE TABLE events (
    id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, spooled_ms INTEGER NOT NULL,
    shard INTEGER, mark TEXT, sequence INTEGER, life TEXT, nonce TEXT,
    text BLOB NOT NULL, trace TEXT
);
CREATE INDEX events_of_queue ON events (queue);
{_LATER}
"""


def keeps_contexts(db: sqlite3.Connection) -> bool:
    """Whether a file has room for trace contexts; one that an earlier release made has not."""
    return any(row[1] == "trace" for row in db.execute("PRAGMA table_info(events)"))


def check_version(path: str, db: sqlite3.Connection) -> None:
    """See that a database is a spool file of this release or an earlier one.

    Raises:
        FileLeftAlone: A newer release wrote it.
        sqlite3.DatabaseError: It is no spool file.
    """
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise FileLeftAlone(
            f"the spool {path} was written by a newer release, and is left alone; run that release "
            "to drain it, or name another spool_dir"
        )
    if version == SCHEMA_VERSION:
        return
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if not tables >= {"queues", "events"}:
        raise sqlite3.DatabaseError("file is not a database of a spool")
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.executescript(_LATER)


def make_database(path: str) -> None:
    """Make an empty spool file in a folder that exists; the name appears once it is whole.

    Raises:
        SpoolUnavailable: It cannot be made.
    """
    unfinished = f"{path}.new"
    try:
        check_folder(os.path.dirname(path))
        try:
            _write_new(unfinished, _empty.get("database", b""))
            if "database" not in _empty:
                _empty["database"] = _fill(unfinished)
            os.rename(unfinished, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(unfinished)
            raise
    except (OSError, sqlite3.Error) as exc:
        raise SpoolUnavailable(f"{path} cannot be made: {exc}") from exc


def _write_new(path: str, content: bytes) -> None:
    """Write a new file without `open`, which an interpreter that is ending has no more."""
    file = new_file(path)
    try:
        while content:
            content = content[os.write(file, content) :]
    finally:
        os.close(file)


#: The bytes of a spool file without events, once one was made: to write them is quick.
_empty: dict[str, bytes] = {}


def _fill(path: str) -> bytes:
    """Make the tables in an empty file; its bytes."""
    with outside_forks(), closing(open_sqlite(path)) as db:
        db.execute("PRAGMA synchronous = OFF")  # the file is still empty, and a request waits
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.executescript(_SCHEMA)
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, os.fstat(file).st_size)
    finally:
        os.close(file)


def open_sqlite(path: str) -> sqlite3.Connection:
    """Open a database that exists, without any setting."""
    return sqlite3.connect(
        f"file:{quote(path)}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
    )
