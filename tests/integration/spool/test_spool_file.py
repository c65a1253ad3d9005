"""The spool's file: bounded, in order, shared by processes, and safe when the disk fails."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.producers import DESTINATION, numbers
from tools.spools import MAX_BYTES, database, drained, open_spool, registration
from vwo_celery.errors import SpoolFull, SpoolUnavailable
from vwo_celery.queue.work.pushes import PUSH_EVENTS
from vwo_celery.spool.database import Database
from vwo_celery.spool.files import address_of
from vwo_celery.spool.locks import locks_at
from vwo_celery.spool.pages import Sent
from vwo_celery.spool.spool import Spool
from vwo_celery.spool.tables import SCHEMA_VERSION, make_database

QUEUE = DESTINATION.queue


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the spool, which does not exist yet."""
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    """A spool of a megabyte."""
    spool = open_spool(folder)
    yield spool
    spool.close()


def padded(n: int) -> bytes:
    """An event of a kilobyte."""
    return b'{"n":%d,"pad":"%s"}' % (n, b"x" * 1000)


def fill(spool: Spool, start: int = 0) -> None:
    """Store events of a kilobyte until the spool raises."""
    for n in range(start, start + 10_000):
        spool.put(registration(), [padded(n)])


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


# -- order, pages and marks


def test_events_come_out_in_order(spool: Spool, folder: Path) -> None:
    """Each one's events come out in their order, whoever drains them; then the spool is empty."""
    other = open_spool(folder)
    for n in range(20):
        spool.put(registration(), numbers(1, n))
        other.put(registration(), numbers(1, 20 + n))

    assert spool.count() == 40
    assert drained(other) == numbers(40)
    assert spool.count() == 0
    other.close()


def test_a_page_is_what_one_push_may_be(spool: Spool) -> None:
    """A page has at most a thousand events or a megabyte; the last page says that it is the last."""
    spool.max_bytes = 10 * MAX_BYTES
    spool.put(registration(), numbers(PUSH_EVENTS + 5))
    large = [b'{"n":"%s"}' % (b"x" * 400_000) for _ in range(3)]
    spool.put(registration(), large)

    pages = []
    while (page := spool.take()) is not None:
        pages.append((len(page.encoded), page.is_last))
        spool.remove(page)

    assert pages == [(PUSH_EVENTS, False), (7, False), (1, True)]


def test_a_page_keeps_its_mark_until_it_is_removed(spool: Spool, folder: Path) -> None:
    """A page that is taken again, as after a crash, has the same mark until it is removed."""
    spool.put(registration(), numbers(3))
    first = spool.take()
    spool.put(registration(), numbers(2, 3))
    spool.close()

    again = open_spool(folder).take()

    assert first is not None
    assert again is not None
    assert (again.sent, again.encoded) == (first.sent, numbers(3))
    assert again.sent.sequence == 3


def test_what_was_sent_together_stays_together(spool: Spool) -> None:
    """A push that may have arrived comes out alone, with the mark it was sent with."""
    sent = Sent(2, "abc", 17, "life")
    spool.put(registration(), numbers(2))
    spool.put(registration(), numbers(3, 2), sent)
    spool.put(registration(), numbers(2, 5))

    pages = []
    while (page := spool.take()) is not None:
        pages.append(page)
        spool.remove(page)

    assert [page.encoded for page in pages] == [numbers(2), numbers(3, 2), numbers(2, 5)]
    assert pages[1].sent == sent
    assert len({page.sent.mark for page in pages}) == 3


def test_a_page_that_was_put_back_comes_out_in_parts(spool: Spool) -> None:
    """The events of a page that was put back keep their order and get another mark."""
    spool.put(registration(), numbers(4))
    whole = spool.take()
    assert whole is not None
    spool.put_back(whole)

    part = spool.take(most_events={QUEUE: 2})

    assert part is not None
    assert part.encoded == numbers(2)
    assert part.sent.mark != whole.sent.mark


def test_queues_take_turns_by_age_and_can_be_skipped(spool: Spool) -> None:
    """The oldest event's queue comes first, unless it is skipped."""
    one, two = registration(1), registration(2)
    spool.put(two, numbers(1))
    spool.put(one, numbers(1))

    oldest, other = spool.take(), spool.take(skip=[two.destination.queue])

    assert oldest is not None
    assert other is not None
    assert (oldest.registration, other.registration) == (two, one)


def test_a_removed_page_takes_nothing_else_with_it(spool: Spool) -> None:
    """An old page removes no new event, although an empty spool uses ids again."""
    spool.put(registration(), numbers(2))
    page = spool.take()
    assert page is not None
    spool.remove(page)
    spool.put(registration(), numbers(2, 2))

    spool.remove(page)

    assert drained(spool) == numbers(2, 2)


def test_who_was_overtaken_changes_nothing(spool: Spool, folder: Path) -> None:
    """A drainer that stood still neither unmarks a page that another has taken since, nor marks it
    anew: that one may be sending it. Both may remove it.
    """
    other = open_spool(folder)
    spool.put(registration(), numbers(3))
    first, second = spool.take(), other.take()
    assert first is not None
    assert second is not None

    for change in (spool.put_back, spool.mark_anew):
        with pytest.raises(SpoolUnavailable, match="another drainer has taken"):
            change(first)

    assert second.sent == first.sent
    spool.remove(first)
    spool.put(registration(), numbers(3, 3))  # an empty file uses row numbers again
    for change in (other.put_back, other.mark_anew):
        with pytest.raises(SpoolUnavailable, match="another drainer has"):
            change(second)
    assert drained(other) == numbers(3, 3)
    other.close()


# -- the size limit


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
            _put_many(folder, account, 10)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    spool = open_spool(folder)
    assert len(spool.paths()) == 1
    assert len(drained(spool)) == 50


# -- several processes, and forks


def _put_many(folder: Path, account: int, count: int) -> None:
    code = 1
    try:
        spool = open_spool(folder, 100 * MAX_BYTES)
        for n in range(count):
            spool.put(registration(account), numbers(1, n))
        code = 0
    finally:
        os._exit(code)


def test_processes_write_at_once(spool: Spool, folder: Path) -> None:
    """Four processes create the file at once and write: each event is stored, each process' in order."""
    writers = []
    for account in range(4):
        if pid := os.fork():
            writers.append(pid)
        else:
            _put_many(folder, account, 200)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in writers]

    found: dict[str, list[bytes]] = {}
    while (page := spool.take()) is not None:
        found.setdefault(page.queue, []).extend(page.encoded)
        spool.remove(page)

    assert codes == [0] * 4
    assert len(found) == 4
    assert all(texts == numbers(200) for texts in found.values())


def test_a_fork_carries_no_connection_over(spool: Spool) -> None:
    """Parent and child use their own connections after a fork, even while a parent's thread writes."""
    spool.put(registration(1), numbers(1))
    stop, failures = threading.Event(), []

    def write() -> None:
        n = 1
        while not stop.is_set():
            try:
                spool.put(registration(1), numbers(1, n))
            except SpoolUnavailable as exc:
                failures.append(exc)
            n += 1

    thread = threading.Thread(target=write)
    thread.start()
    codes = [os.waitpid(_forked(spool, n), 0)[1] for n in range(2, 12)]
    stop.set()
    thread.join()

    assert codes == [0] * 10
    assert failures == []
    found: dict[str, list[bytes]] = {}
    while (page := spool.take()) is not None:
        found.setdefault(page.queue, []).extend(page.encoded)
        spool.remove(page)
    parent = found.pop(registration(1).destination.queue)
    assert parent == numbers(len(parent))
    assert list(found.values()) == [numbers(20)] * 10


def _forked(spool: Spool, account: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for n in range(20):
            spool.put(registration(account), numbers(1, n))
        code = 0
    finally:
        os._exit(code)


@pytest.mark.parametrize("use", ["look", "make", "close"])
def test_a_fork_waits_for_sqlite(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    """No thread enters SQLite while the process forks: it has locks in C, and a child that inherits
    one locked would wait for ever at its first use of any file.
    """
    spool.put(registration(), numbers(1))
    monkeypatch.setattr("vwo_celery.spool.tables._empty", {})
    other = open_spool(folder)
    uses: dict[str, Any] = {
        "look": other.count,
        "make": lambda: make_database(f"{folder}/another"),
        "close": spool.close,
    }
    thread = threading.Thread(target=uses[use])
    path, close, waited = database(spool), Database.before_fork, []

    def before_fork(which: Database) -> None:
        close(which)
        if which.path == path and not waited:
            thread.start()
            thread.join(0.2)  # it would have ended
            waited.append(thread.is_alive())

    monkeypatch.setattr(Database, "before_fork", before_fork)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    thread.join(10)

    assert waited == [True]
    assert not thread.is_alive()


def test_one_drainer_at_a_time(spool: Spool) -> None:
    """All threads and processes have one drainer of a file; a fork does not inherit its lock, and
    death frees it.
    """
    spool.put(registration(), numbers(1))
    locks = locks_at(spool.files.lock)
    assert locks.acquire(7)
    assert not locks.acquire(7)
    assert locks.acquire(8)
    assert _child_acquires(spool) == 1
    locks.release(7)

    assert _child_acquires(spool) == 0  # and died without releasing it
    assert locks.acquire(7)
    for place in (7, 8):
        locks.release(place)


def _child_acquires(spool: Spool) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if locks_at(spool.files.lock).acquire(7) else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[2:]
from tools.producers import numbers
from tools.spools import open_spool, registration
from pathlib import Path
spool = open_spool(Path(sys.argv[1]))
for n in range(100):
    spool.put(registration(), numbers(1, n))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_put_in_outlives_a_kill(spool: Spool, folder: Path) -> None:
    """After a SIGKILL, every event is there for which `put` had returned."""
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, str(folder), str(here.parents[1])]
    killed = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)

    assert killed.returncode == -9, killed.stderr
    assert drained(spool) == numbers(100)


def test_who_looks_holds_up_nobody(spool: Spool, folder: Path) -> None:
    """A count, however long it takes, does not keep others from writing."""
    spool.put(registration(), numbers(3))
    other = open_spool(folder)
    looking = sqlite3.connect(database(spool), isolation_level=None)
    looking.execute("BEGIN")
    assert looking.execute("SELECT count(*) FROM events").fetchone() == (3,)

    other.put(registration(), numbers(1, 3), timeout_seconds=0.05)

    assert other.count() == 4
    looking.close()


def test_who_stands_still_in_a_write_holds_up_nobody(spool: Spool, folder: Path) -> None:
    """A process whose file another keeps locked goes on in a new one, after one short wait; all
    other files are drained meanwhile.
    """
    other = open_spool(folder)
    spool.put(registration(), numbers(1))
    still = sqlite3.connect(database(spool), isolation_level=None)
    still.execute("BEGIN IMMEDIATE")
    other.put(registration(), numbers(1, 10))

    spool.put(registration(), numbers(1, 1), timeout_seconds=0.05)
    spool.put(registration(), numbers(1, 2), timeout_seconds=0.05)

    paths = spool.paths()
    assert len(paths) == 3
    assert [_taken_from(path, other) for path in paths[1:]] == [numbers(1, 10), numbers(2, 1)]
    assert spool.count() == 4
    still.close()
    assert drained(other) == numbers(1) + numbers(1, 10) + numbers(2, 1)
    other.close()


def _taken_from(path: str, spool: Spool) -> list[bytes]:
    page = spool.take(path=path)
    assert page is not None
    return page.encoded


# -- disks


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """If the folder cannot be created, the spool's own error says so."""
    (tmp_path / "spool").write_text("in the way")

    with pytest.raises(SpoolUnavailable, match="no folder"):
        open_spool(tmp_path / "spool").put(registration(), numbers(1))


def test_a_full_disk_refuses_and_harms_nothing(spool: Spool) -> None:
    """On a full disk the stored events stay; once there is room, events are stored again."""
    spool.put(registration(), numbers(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(database(spool) + "-wal"), hard))
    try:
        with pytest.raises(SpoolUnavailable, match="spooling"):
            fill(spool, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    spool.put(registration(), numbers(1, 1000))

    texts = drained(spool)
    assert texts[:10] == numbers(10)
    assert texts[-1:] == numbers(1, 1000)


@pytest.mark.parametrize("damage", ["overwritten", "truncated", "of another program"])
def test_a_damaged_file_is_put_aside(
    folder: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """A damaged file is put aside and logged; the next event starts a new spool."""
    first = open_spool(folder)
    first.put(registration(), numbers(1))
    path = Path(database(first))
    first.close()
    if damage == "overwritten":
        path.write_bytes(b"no database at all " * 1000)
    elif damage == "truncated":
        path.write_bytes(b"")
    else:
        path.unlink()
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE other (n)")
        path.chmod(0o600)
    spool = open_spool(folder)

    spool.put(registration(), numbers(3, 5))

    assert drained(spool) == numbers(3, 5)
    (aside,) = folder.glob("*.damaged-*[0-9]")
    assert "is damaged" in caplog.text
    assert str(aside) in caplog.text
    spool.close()


def test_a_recovered_file_is_drained(spool: Spool, folder: Path) -> None:
    """What an operator got out of a damaged file is drained, once it lies beside the others."""
    spool.put(registration(), numbers(3))
    with sqlite3.connect(database(spool)) as db:
        script = [
            line for line in db.iterdump() if '"drainer"' not in line and "drainer" not in line
        ]
    drained(spool)
    assert spool.tidy()
    recovered = Path(f"{spool.files.stem}.recovered.sqlite3")
    with sqlite3.connect(recovered) as db:
        db.executescript("".join(script))
    recovered.chmod(0o600)

    assert spool.holds_something
    assert spool.count() == 3
    assert drained(spool) == numbers(3)
    assert spool.tidy()
    assert not recovered.exists()


def test_a_newer_releases_file_is_left_alone(folder: Path) -> None:
    """A file of a newer version is neither changed nor put aside, and the error names the remedy."""
    first = open_spool(folder)
    first.put(registration(), numbers(2))
    path = database(first)
    first.close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    spool = open_spool(folder)

    spool.put(registration(), numbers(1, 2))
    with pytest.raises(SpoolUnavailable, match="newer release"):
        spool.take(path=path)

    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    assert drained(spool) == numbers(3)
    spool.close()


def test_a_folder_that_goes_away_comes_back(spool: Spool, folder: Path) -> None:
    """After an operator deleted the spool under a running process, the next event creates a new one."""
    spool.put(registration(), numbers(2))
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()

    spool.put(registration(), numbers(2, 2))

    assert drained(open_spool(folder)) == numbers(2, 2)


def test_a_registration_of_a_newer_release_waits(spool: Spool) -> None:
    """Events of a queue that this release cannot read stay in the spool, and hold up no other queue."""
    spool.put(registration(1), numbers(1))
    spool.put(registration(2), numbers(1, 7))
    with sqlite3.connect(database(spool)) as db:
        db.execute("UPDATE queues SET registration = '{}' WHERE id = 1")

    assert drained(spool) == numbers(1, 7)
    assert spool.count() == 1
    assert not spool.tidy()


def test_a_full_disk_is_left_without_half_made_files(spool: Spool, folder: Path) -> None:
    """A new file that the disk does not take leaves nothing behind, however often that happens."""
    spool.put(registration(), numbers(1))
    assert drained(spool) == numbers(1)
    assert spool.tidy()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))

    try:
        with pytest.raises(SpoolUnavailable):
            open_spool(folder).put(registration(), numbers(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == []


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
