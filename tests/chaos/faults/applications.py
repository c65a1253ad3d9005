"""Faults of the applications.

Each fault is a context manager on a running fleet: inflicted on entry, healed on exit. The caller
decides how long it lasts. If healing starts a program again, the exit returns when that program is
ready.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaos.faults.network import on_line
from chaos.faults.row import Row
from chaos.fleet import SHARDS, Fleet
from tools.tcpproxy import TcpProxy


@contextmanager
def applications_killed_spooling(fleet: Fleet) -> Iterator[None]:
    """Redis is away, applications spool and are killed; others on the same host find their spool."""
    with on_line("applications", TcpProxy.reset)(fleet):
        yield
        fleet.kill_applications()
    fleet.start_applications()


@contextmanager
def applications_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of all applications; others are started."""
    fleet.kill_applications()
    yield
    fleet.start_applications()


@contextmanager
def shards_lowered(fleet: Fleet) -> Iterator[None]:
    """A deployment with one shard starts beside one with several, which then ends."""
    before = list(fleet.applications)
    fleet.start_applications(VWO_CELERY_SHARDS="1")
    yield
    for process in before:
        fleet.applications.remove(process)
        process.kill()


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
        name="shards-lowered",
        fault="applications with 4 shards replaced by others with 1, under load",
        inflict=shards_lowered,
        settings={"VWO_CELERY_SHARDS": str(SHARDS)},
        soak=False,
    ),
)
