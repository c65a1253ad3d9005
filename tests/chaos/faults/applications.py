"""Faults of the applications.

Each fault is a context manager on a running fleet: inflicted on entry, healed on exit. The caller
decides how long it lasts. If healing starts a program again, the exit returns when that program is
ready.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from chaos.faults.network import on_line
from chaos.faults.row import SOON_SECONDS, Row, again_and_again
from chaos.fleet import Fleet
from chaos.kit import SHARDS
from tools.processes import Process
from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until

#: Longest call of an application that stood still in it until the others had drained.
_FROZEN_ENQUEUE_MS = 60_000.0
#: Looks at a lock that no running process can hold for so long.
_LOOKS = 100

#: Pause between two signals to each application.
_SIGNAL_SECONDS = 0.01


@contextmanager
def applications_killed_spooling(fleet: Fleet) -> Iterator[None]:
    """Redis is away, applications spool and are killed; others on the same host find their spool."""
    with on_line("applications", TcpProxy.reset)(fleet):
        yield
        fleet.applications.kill()
    fleet.applications.start()


@contextmanager
def application_frozen_in_a_write(fleet: Fleet) -> Iterator[None]:
    """Redis is away, and an application stands still in a write of its spool file; Redis comes
    back, and the others drain all files but that one before it goes on.
    """
    with on_line("applications", TcpProxy.reset)(fleet):
        frozen = _freeze_in_a_write(fleet)
        yield
    fleet.wait_until(
        lambda: len(fleet.fates.spool_files()) <= 1, SOON_SECONDS, "the others' drains"
    )
    os.kill(frozen.pid, signal.SIGCONT)


def _freeze_in_a_write(fleet: Fleet) -> Process:
    """Stop the first application until it stands still in a write, seen by the lock of its file."""
    fleet.wait_until(fleet.fates.spool_files, SOON_SECONDS, "the first spooled event")
    process = fleet.applications.running[0]

    def is_in_a_write() -> bool:
        os.kill(process.pid, signal.SIGSTOP)
        if any(map(_is_locked, fleet.fates.spool_files())):
            return True
        os.kill(process.pid, signal.SIGCONT)
        return False

    def is_still_in_one() -> bool:  # and it was not another application that wrote
        return all(is_in_a_write() for _ in range(_LOOKS))

    wait_until(is_still_in_one, SOON_SECONDS, every_seconds=0.001)
    return process


def _is_locked(path: Path) -> bool:
    """Whether a process is in the middle of a write of a spool file, which reading tells nobody."""
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    return False


@contextmanager
def application_frozen_with_a_spool(fleet: Fleet) -> Iterator[None]:
    """Redis is away, and an application that has spooled stands still; Redis comes back, and the
    others drain its file too before it goes on.
    """
    with on_line("applications", TcpProxy.reset)(fleet):
        fleet.wait_until(
            lambda: len(fleet.fates.spool_files()) >= len(fleet.applications.running),
            SOON_SECONDS,
            "the spool",
        )
        while any(map(_is_locked, _stopped(fleet))):
            os.kill(fleet.applications.running[0].pid, signal.SIGCONT)
        yield
    fleet.wait_until(lambda: not fleet.fates.spool_files(), SOON_SECONDS, "the drain of its file")
    os.kill(fleet.applications.running[0].pid, signal.SIGCONT)


def _stopped(fleet: Fleet) -> list[Path]:
    """The spool files, once the first application stands still."""
    os.kill(fleet.applications.running[0].pid, signal.SIGSTOP)
    return fleet.fates.spool_files()


@contextmanager
def applications_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of all applications; others are started."""
    fleet.applications.kill()
    yield
    fleet.applications.start()


@contextmanager
def shards_lowered(fleet: Fleet) -> Iterator[None]:
    """A deployment with one shard starts beside one with several, which then ends."""
    before = list(fleet.applications.running)
    fleet.applications.start(VWO_CELERY_SHARDS="1")
    yield
    for process in before:
        fleet.applications.running.remove(process)
        process.kill()


@contextmanager
def signals(fleet: Fleet) -> Iterator[None]:
    """Redis is away, and signal handlers enqueue in the middle of what the applications do."""

    def strike() -> None:
        for process in fleet.applications.running:
            os.kill(process.pid, signal.SIGUSR1)

    with on_line("applications", TcpProxy.reset)(fleet), again_and_again(strike, _SIGNAL_SECONDS):
        yield


@contextmanager
def cloned(fleet: Fleet) -> Iterator[None]:
    """Each application is cloned, as by the start of a snapshot; both go on."""
    for process in fleet.applications.running:
        os.kill(process.pid, signal.SIGUSR2)
    yield


#: Rows of the fault matrix.
ROWS = (
    Row(
        name="applications-killed",
        fault="applications killed (SIGKILL), others started",
        inflict=applications_killed,
        seconds=0,
    ),
    Row(
        name="applications-killed-spooling",
        fault="applications killed while Redis is away; others drain their spool",
        inflict=applications_killed_spooling,
    ),
    Row(
        name="application-frozen-in-a-write",
        fault="Redis away, and an application stopped (SIGSTOP) in a write of its spool file",
        inflict=application_frozen_in_a_write,
        longest_enqueue_ms=_FROZEN_ENQUEUE_MS,
    ),
    Row(
        name="application-frozen-with-a-spool",
        fault="Redis away, and an application that has spooled stopped (SIGSTOP); others drain it",
        inflict=application_frozen_with_a_spool,
        longest_enqueue_ms=_FROZEN_ENQUEUE_MS,
    ),
    Row(
        name="applications-signalled",
        fault="signal handlers of applications enqueue while Redis is away",
        inflict=signals,
    ),
    Row(
        name="applications-cloned",
        fault="applications cloned, with memory and process id, as from a snapshot",
        inflict=cloned,
        soak=False,
    ),
    Row(
        name="shards-lowered",
        fault="applications with 4 shards replaced by others with 1, under load",
        inflict=shards_lowered,
        settings={"VWO_CELERY_SHARDS": str(SHARDS)},
        soak=False,
    ),
)
