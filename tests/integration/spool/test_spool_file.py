"""The spool's files: bounded together, deleted once empty, filled again, and named after their Redis."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tools.producers import DESTINATION, numbers
from tools.spools import (
    MAX_BYTES,
    database,
    drained,
    fill,
    open_spool,
    padded,
    put_many_and_exit,
    registration,
)
from vwo_celery.errors import SpoolFull
from vwo_celery.spool import database as database_module
from vwo_celery.spool.database import Database
from vwo_celery.spool.files import address_of
from vwo_celery.spool.pages import Sent
from vwo_celery.spool.spool import Spool

QUEUE = DESTINATION.queue


def test_a_full_spool_takes_nothing_and_keeps_all(spool: Spool) -> None:
    """A full spool stores nothing more and keeps everything; the file stays within its limit."""
    with pytest.raises(SpoolFull, match="max_spool_bytes"):
        fill(spool)

    taken = spool.count()
    assert taken > 500
    assert spool.used_bytes() <= MAX_BYTES
    assert os.path.getsize(database(spool)) <= MAX_BYTES
    assert drained(spool) == [padded(n) for n in range(taken)]


def test_room_is_made_of_the_oldest(spool: Spool) -> None:
    """The oldest events are dropped as needed, and a few more; events that Redis may have stay."""
    sent = [b'{"sent":1}']
    spool.put(registration(), sent, Sent(0, "abc", 1))
    with pytest.raises(SpoolFull):
        fill(spool)
    before = spool.count()

    deleted = spool.make_room(numbers(1))

    assert 0 < deleted[QUEUE] <= 30
    assert spool.count() == before - deleted[QUEUE]
    spool.put(registration(), numbers(1))
    texts = drained(spool)
    assert texts == sent + [padded(n) for n in range(deleted[QUEUE], before - 1)] + numbers(1)


def test_what_can_never_fit_deletes_nothing(spool: Spool) -> None:
    """An event of nearly the spool's size is refused, and the others stay."""
    spool.put(registration(), numbers(10))

    with pytest.raises(SpoolFull, match="half"):
        spool.make_room([b"x" * (MAX_BYTES - 1000)])

    assert spool.count() == 10


def test_an_empty_spool_is_no_file(spool: Spool) -> None:
    """A drained spool gives the disk back, and holds no queue and no SDK key."""
    for n in range(0, 5000, 1000):
        spool.put(registration(), numbers(1000, n))
    assert os.path.getsize(database(spool) + "-wal") > 200_000
    assert not spool.tidy()
    drained(spool)

    assert spool.tidy()

    assert not spool.holds_something
    assert [str(file) for file in Path(spool.files.folder).iterdir()] == [spool.files.lock]
    spool.put(registration(), numbers(1))
    assert spool.holds_something
    assert drained(spool) == numbers(1)


def test_no_event_goes_into_a_file_that_was_deleted(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put that waits while a drainer deletes the empty file stores its event in another one."""
    spool.put(registration(), numbers(1))
    drained(spool)
    opened = Database._open

    def open_late(self: Database, timeout_seconds: float) -> sqlite3.Connection:
        connection = opened(self, timeout_seconds)
        monkeypatch.undo()
        assert spool.tidy()
        return connection

    monkeypatch.setattr(Database, "_open", open_late)

    spool.put(registration(), numbers(1, 1))

    assert drained(spool) == numbers(1, 1)


def test_no_event_goes_into_a_file_that_was_deleted_while_it_was_opened(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put whose new file a drainer finds empty and deletes as it opens it stores in another one."""
    connect = database_module._connect

    def connect_late(*words: Any) -> sqlite3.Connection:
        connection = connect(*words)
        monkeypatch.undo()
        assert open_spool(folder).tidy()
        return connection

    monkeypatch.setattr(database_module, "_connect", connect_late)

    spool.put(registration(), numbers(2))
    spool.put(registration(), numbers(1, 2))

    assert drained(open_spool(folder)) == numbers(3)


def test_what_a_process_left_that_died_while_it_deleted_is_cleared_up(
    spool: Spool, folder: Path
) -> None:
    """The next file that is made takes along what SQLite kept beside one that is gone, and no more."""
    other = open_spool(folder)
    other.put(registration(), numbers(1))
    gone = other.files.new_path()
    left = [Path(gone + suffix) for suffix in ("-wal", "-shm")]
    others = Path(gone.replace("vwo-", "theirs-", 1) + "-wal")
    for path in (*left, others):
        path.write_bytes(b"events")

    spool.put(registration(), numbers(1, 1))

    assert not any(path.exists() for path in left)
    assert others.exists()
    assert sorted(drained(spool)) == numbers(2)


def test_all_files_together_are_bounded(spool: Spool, folder: Path) -> None:
    """What others have spooled counts too; where room is made, the oldest of all files go first."""
    others = [open_spool(folder) for _ in range(3)]
    for n, other in enumerate(others):
        for k in range(200):
            other.put(registration(), [padded(200 * n + k)])

    with pytest.raises(SpoolFull, match="max_spool_bytes"):
        fill(spool, 1000)

    assert spool.used_bytes() <= MAX_BYTES + 4 * 24_576
    assert spool.make_room(numbers(1)) == {QUEUE: 16}
    spool.put(registration(), numbers(1))
    assert drained(spool)[0] == padded(16)
    for other in others:
        other.close()


def test_who_starts_later_fills_the_files_of_those_who_ended(folder: Path) -> None:
    """Short-lived processes leave no file each: one goes on in the file of one that has ended."""
    for account in range(5):
        pid = os.fork()
        if pid == 0:
            put_many_and_exit(folder, account, 10)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    spool = open_spool(folder)
    assert len(spool.paths()) == 1
    assert len(drained(spool)) == 50


def test_many_files_are_shared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a spool has many files, a process fills one of them, whichever is not kept locked."""
    monkeypatch.setattr("vwo_celery.spool.spool._MOST_FILES", 2)
    spools = [open_spool(folder) for _ in range(3)]
    for n, spool in enumerate(spools[:2]):
        spool.put(registration(), numbers(1, n))
    paths = spools[0].paths()
    still = sqlite3.connect(paths[0], isolation_level=None)
    still.execute("BEGIN IMMEDIATE")

    spools[2].put(registration(), numbers(1, 2), timeout_seconds=0.1)

    still.execute("ROLLBACK")
    still.close()
    assert spools[2].paths() == paths
    assert spools[2].count() == 3
    for spool in spools:
        spool.close()


# -- the file's name


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("redis://h:6379/0", "redis://h", True),
        ("redis://h:6379/0", "redis://:secret@h:6379/0", True),
        ("redis://:old@h", "redis://:new@h", True),
        ("redis://h?db=3", "redis://h/3", True),
        ("redis://h/0", "redis://h/1", False),
        ("redis://h", "redis://other", False),
        ("redis://me@h", "redis://you@h", False),
        ("unix:///run/a.sock", "unix:///run/b.sock", False),
        ("redis+sentinel://a:1,b:2/one", "redis+sentinel://a:1,b:2/two", False),
        ("redis+cluster://h:6379", "redis://h:6379", False),
    ],
)
def test_addresses_tell_one_redis_from_another(one: str, other: str, same: bool) -> None:
    """Spool files differ by server, user and database, not by password."""
    assert (address_of(one) == address_of(other)) is same
    assert "secret" not in address_of(other)


def test_a_client_has_the_address_of_its_url() -> None:
    """A client that the application passes shares the spool with the URL of its server."""
    import redis

    for url in ("redis://h:6379/2", "redis://me:secret@h", "unix:///run/a.sock?db=1"):
        client: Any = redis.Redis.from_url(url)
        assert address_of("redis://localhost:6379/0", client) == address_of(url)
