"""Processes, threads and forks share a spool, and none of them holds up another."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tools.producers import numbers
from tools.spools import database, drained, open_spool, put_many_and_exit, registration
from vwo_celery.errors import SpoolUnavailable
from vwo_celery.spool.database import Database
from vwo_celery.spool.locks import locks_at
from vwo_celery.spool.spool import Spool
from vwo_celery.spool.tables import make_database


def test_processes_write_at_once(spool: Spool, folder: Path) -> None:
    """Four processes create the file at once and write: each event is stored, each process' in order."""
    writers = []
    for account in range(4):
        if pid := os.fork():
            writers.append(pid)
        else:
            put_many_and_exit(folder, account, 200)
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
