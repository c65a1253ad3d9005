"""A process that stands still (docker pause, a debugger, throttling) in a write of the spool, or in
a drain: it holds up nobody else, and loses nothing and repeats nothing when it goes on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_py

from tools.processes import Process, Processes
from tools.producers import KEPT, TIMEOUT_SECONDS, connect, numbers, snapshot, stored
from tools.waiting import wait_until
from vwo_celery.receipts import SPOOLED
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*KEPT)
PROGRAM = str(Path(__file__).parents[2] / "tools" / "standing_still_program.py")
OWN = 100
Stop = Callable[[str, RedisServer], Process]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be stopped."""
    with RedisServer(appendonly=True) as running:
        yield running


@pytest.fixture
def stop(tmp_path: Path) -> Iterator[Stop]:
    """Start the program with three events, and return once it stands still."""
    with Processes(tmp_path) as programs:

        def start(where: str, server: RedisServer) -> Process:
            server.pause()
            program = programs.start("python", PROGRAM, where, server.url, "3", name=where)
            program.wait_for_log("spooled", 20)
            if where != "filling":
                server.resume()
            program.wait_for_log("stops", 20)
            if where != "filling":
                server.pause()
            return program

        yield start


def held(server: RedisServer) -> list[bytes]:
    """The events that Redis holds."""
    with redis_py.Redis.from_url(server.url) as client:
        return stored(client)


@pytest.mark.parametrize("where", ["filling", "taking", "sending"])
def test_a_process_that_stands_still_holds_up_no_other(
    server: RedisServer, stop: Stop, where: str
) -> None:
    """Others spool and drain their own events meanwhile; its own are there once it goes on."""
    still = stop(where, server)
    queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)

    receipts = [queue.enqueue({"n": n}) for n in range(OWN, OWN + 20)]
    server.resume()
    wait_until(lambda: set(numbers(20, OWN)) <= set(held(server)), 30, what="the others' events")
    os.kill(still.pid, signal.SIGCONT)

    still.wait_for_log("ended", 60)
    assert receipts == [SPOOLED] * 20
    own = numbers(4 if where == "filling" else 3)
    assert sorted(held(server)) == sorted([*own, *numbers(20, OWN)])
    with redis_py.Redis.from_url(server.url) as client:
        assert snapshot(client).balanced


def test_a_drain_that_stands_still_is_taken_over(server: RedisServer, stop: Stop) -> None:
    """Another process sends the page that a frozen one had taken, and that one stores nothing
    again when it goes on.
    """
    still = stop("sending", server)
    server.resume()
    queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)

    wait_until(lambda: queue.drain_spool(timeout_seconds=1), 30, what="the drain of all files")
    taken_over = held(server)
    os.kill(still.pid, signal.SIGCONT)

    still.wait_for_log("ended", 60)
    assert taken_over == held(server) == numbers(3)
