"""The spool's file: bounded, in order, shared by processes, and safe when the disk fails."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tools.producers import DESTINATION, SOON_SECONDS, numbers
from vwo_celery.errors import SpoolFull, SpoolUnavailable
from vwo_celery.producing.limits import limits_of
from vwo_celery.queue.pushes import PUSH_EVENTS
from vwo_celery.queue.registration import Registration
from vwo_celery.settings import Settings
from vwo_celery.settings.batch_event_data import parse_batch_event_data
from vwo_celery.spool.database import SCHEMA_VERSION, SpoolBusy
from vwo_celery.spool.files import address_of, drain_lock, spool_files
from vwo_celery.spool.pages import Sent
from vwo_celery.spool.spool import Spool

MAX_BYTES = 1_000_000
QUEUE = DESTINATION.queue


def registration(account: int = 1) -> Registration:
    """A queue."""
    destination = msgspec.structs.replace(DESTINATION, account_id=account)
    return Registration(destination, limits_of(parse_batch_event_data(None), Settings()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the spool, which does not exist yet."""
    return tmp_path / "spool"


def open_spool(folder: Path, max_bytes: int = MAX_BYTES) -> Spool:
    """One more connection to that spool."""
    return Spool(spool_files(str(folder), "vwo", "here"), max_bytes=max_bytes)


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    """A spool of a megabyte."""
    spool = open_spool(folder)
    yield spool
    spool.close()


def drained(spool: Spool) -> list[bytes]:
    """All events of the spool, page by page, as a drainer takes them."""
    texts = []
    while (page := spool.take()) is not None:
        texts += page.encoded
        spool.remove(page)
    return texts


def padded(n: int) -> bytes:
    """An event of a kilobyte."""
    return b'{"n":%d,"pad":"%s"}' % (n, b"x" * 1000)


def fill(spool: Spool, start: int = 0) -> None:
    """Store events of a kilobyte until the spool raises."""
    for n in range(start, start + 10_000):
        spool.put(registration(), [padded(n)])


# -- order, pages and marks


def test_events_come_out_in_order(spool: Spool, folder: Path) -> None:
    """Events come out in the order in which any connection stored them; then the spool is empty."""
    other = open_spool(folder)
    for n in range(0, 40, 2):
        spool.put(registration(), numbers(1, n))
        other.put(registration(), numbers(1, n + 1))

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


# -- the size limit


def test_a_full_spool_takes_nothing_and_keeps_all(spool: Spool) -> None:
    """A full spool stores nothing more and keeps everything; the file stays within its limit."""
    with pytest.raises(SpoolFull, match="max_spool_bytes"):
        fill(spool)

    taken = spool.count()
    assert taken > 500
    assert spool.used_bytes() <= MAX_BYTES
    assert os.path.getsize(spool.files.database) <= MAX_BYTES
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


def test_an_empty_spool_is_small_and_forgets_the_queues(spool: Spool) -> None:
    """A drained spool gives the disk back, and holds no queue and no SDK key."""
    for n in range(0, 5000, 1000):
        spool.put(registration(), numbers(1000, n))
    assert os.path.getsize(spool.files.database + "-wal") > 200_000
    drained(spool)

    assert spool.tidy()

    assert not spool.holds_something
    assert sum(file.stat().st_size for file in Path(spool.files.folder).iterdir()) < 100_000
    with sqlite3.connect(spool.files.database) as db:
        assert db.execute("SELECT count(*) FROM queues").fetchone() == (0,)
    spool.put(registration(), numbers(1))
    assert spool.holds_something
    assert drained(spool) == numbers(1)


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


def test_one_drainer_at_a_time(spool: Spool) -> None:
    """All threads and processes have one drainer; a fork does not inherit the lock, death frees it."""
    spool.put(registration(), numbers(1))
    lock = drain_lock(spool.files)
    assert lock.acquire()
    assert not lock.acquire()
    assert _child_acquires(spool) == 1
    lock.release()

    assert _child_acquires(spool) == 0  # and died without releasing it
    assert lock.acquire()
    lock.release()


def _child_acquires(spool: Spool) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if drain_lock(spool.files).acquire() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[2:]
from test_spool_file import numbers, open_spool, registration
from pathlib import Path
spool = open_spool(Path(sys.argv[1]))
for n in range(100):
    spool.put(registration(), numbers(1, n))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_put_in_outlives_a_kill(spool: Spool, folder: Path) -> None:
    """After a SIGKILL, every event is there for which `put` had returned."""
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, str(folder), str(here), str(here.parents[1])]
    killed = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)

    assert killed.returncode == -9, killed.stderr
    assert drained(spool) == numbers(100)


def test_who_looks_holds_up_nobody(spool: Spool, folder: Path) -> None:
    """A count, however long it takes, does not keep others from writing."""
    spool.put(registration(), numbers(3))
    other = open_spool(folder)
    looking = sqlite3.connect(spool.files.database, isolation_level=None)
    looking.execute("BEGIN")
    assert looking.execute("SELECT count(*) FROM events").fetchone() == (3,)

    other.put(registration(), numbers(1, 3), timeout_seconds=0.05)

    assert other.count() == 4
    looking.close()


def test_who_writes_for_too_long_is_not_waited_for(spool: Spool, folder: Path) -> None:
    """A put behind a slow writer ends at its deadline, and the next one works again."""
    spool.put(registration(), numbers(1))
    writing = sqlite3.connect(spool.files.database, isolation_level=None)
    writing.execute("BEGIN IMMEDIATE")
    started = time.monotonic()

    with pytest.raises(SpoolBusy):
        spool.put(registration(), numbers(1, 1), timeout_seconds=0.05)

    assert time.monotonic() - started < SOON_SECONDS
    assert spool.count() == 1
    writing.close()
    spool.put(registration(), numbers(1, 1))
    assert drained(spool) == numbers(2)


# -- disks


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """If the folder cannot be created, the spool's own error says so."""
    (tmp_path / "spool").write_text("in the way")

    with pytest.raises(SpoolUnavailable, match="cannot be made"):
        open_spool(tmp_path / "spool").put(registration(), numbers(1))


def test_a_full_disk_refuses_and_harms_nothing(spool: Spool) -> None:
    """On a full disk the stored events stay; once there is room, events are stored again."""
    spool.put(registration(), numbers(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (os.path.getsize(spool.files.database + "-wal"), hard)
    )
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
    path = Path(first.files.database)
    first.close()
    if damage == "overwritten":
        path.write_bytes(b"no database at all " * 1000)
    elif damage == "truncated":
        path.write_bytes(b"")
    else:
        path.unlink()
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE other (n)")
    spool = open_spool(folder)

    spool.put(registration(), numbers(3, 5))

    assert drained(spool) == numbers(3, 5)
    (aside,) = folder.glob("*.damaged-*[0-9]")
    assert "is damaged" in caplog.text
    assert str(aside) in caplog.text
    spool.close()


def test_a_newer_releases_file_is_left_alone(folder: Path) -> None:
    """A file of a newer version is neither changed nor put aside, and the error names the remedy."""
    first = open_spool(folder)
    first.put(registration(), numbers(2))
    first.close()
    with sqlite3.connect(first.files.database) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    with pytest.raises(SpoolUnavailable, match="newer release"):
        open_spool(folder).put(registration(), numbers(1))

    with sqlite3.connect(first.files.database) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    assert drained(open_spool(folder)) == numbers(2)


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
    with sqlite3.connect(spool.files.database) as db:
        db.execute("UPDATE queues SET registration = '{}' WHERE id = 1")

    assert drained(spool) == numbers(1, 7)
    assert spool.count() == 1
    assert not spool.tidy()


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
