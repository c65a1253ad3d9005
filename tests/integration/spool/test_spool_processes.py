"""The spool with processes that are killed, forked or concurrent: any that is left drains it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_py

import vwo_celery
from tools.processes import Process, Processes
from tools.producers import KEPT, TIMEOUT_SECONDS, connect, numbers, snapshot, stored
from tools.spools import drained, open_spool
from tools.waiting import wait_until
from vwo_celery.receipts import IN_REDIS, SPOOLED
from vwo_celery.spool.drainer import MOST_THREADS
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*KEPT)
TESTS = Path(__file__).parents[2]
PROGRAM = str(TESTS / "tools" / "spooling_program.py")
Run = Callable[..., Process]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be stopped."""
    with RedisServer(appendonly=True) as running:
        yield running


@pytest.fixture
def run(server: RedisServer, tmp_path: Path) -> Iterator[Run]:
    """Start the program with its task, its first event, their number, and the pause between two."""
    with Processes(tmp_path) as programs:

        def start(what: str, first: int, count: int, seconds: float = 0.0) -> Process:
            words = (what, server.url, str(first), str(count), str(seconds))
            return programs.start("python", PROGRAM, *words, name=f"{what}-{first}")

        yield start


def receipts(program: Process) -> list[str]:
    """The receipts of the program so far."""
    return [line for line in program.log().split() if line in {"redis", "spooled", "dropped"}]


def held(server: RedisServer) -> list[bytes]:
    """The events that Redis holds."""
    with redis_py.Redis.from_url(server.url) as client:
        return stored(client)


def test_a_killed_process_loses_nothing(server: RedisServer, run: Run) -> None:
    """Spooled events of a killed process are drained by another process of the host, which had
    spooled nothing.
    """
    server.pause()
    killed = run("die", 0, 20)
    killed.wait()
    server.resume()

    assert connect(server.url).enqueue({"n": 20}) == IN_REDIS

    wait_until(lambda: len(held(server)) == 21, 20, what="the spool to be drained")
    assert receipts(killed) == ["spooled"] * 20
    assert sorted(held(server)) == sorted(numbers(21))


def test_a_process_that_drains_and_is_killed(server: RedisServer, run: Run) -> None:
    """After a drainer died at any point, the next one goes on: nothing is lost or stored twice."""
    queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
    server.pause()
    assert queue.enqueue_many({"n": n} for n in range(30_000)) == [SPOOLED] * 30_000
    pid = os.fork()
    if pid == 0:
        try:
            queue.drain_spool(timeout_seconds=60)
        finally:
            os._exit(0)
    server.resume()
    wait_until(lambda: held(server), 20, what="a first page")
    os.kill(pid, 9)
    os.waitpid(pid, 0)

    wait_until(lambda: len(held(server)) >= 30_000, 30, what="the spool to be drained")

    assert held(server) == numbers(30_000)
    with redis_py.Redis.from_url(server.url) as client:
        assert snapshot(client).accepted == 30_000


def test_processes_spool_and_drain_at_once(server: RedisServer, run: Run) -> None:
    """Three processes enqueue while Redis comes and goes: each one's spooled events stay in order,
    nothing is lost or stored twice.
    """
    programs = [run("finish", 1000 * n, 300, 0.002) for n in range(3)]
    for _ in range(3):
        server.pause()
        _wait_for_more(programs)
        server.resume()
        _wait_for_more(programs)

    wait_until(lambda: len(held(server)) == 900, 30, what="all events")
    wait_until(lambda: all(len(receipts(each)) == 300 for each in programs), 20)

    events = [number for n in range(3) for number in numbers(300, 1000 * n)]
    assert sorted(held(server)) == sorted(events)
    told_all = [receipts(each) for each in programs]
    assert all(set(words) <= {"redis", "spooled"} for words in told_all)
    assert all("spooled" in words for words in told_all)


def _wait_for_more(programs: list[Process]) -> None:
    """Wait until each program has thirty more receipts, or all of them."""
    wanted = [min(300, len(receipts(each)) + 30) for each in programs]
    wait_until(
        lambda: all(len(receipts(each)) >= n for each, n in zip(programs, wanted, strict=True)), 20
    )


def test_a_fork_after_spooling(server: RedisServer, run: Run) -> None:
    """A forked child gets its own drainer when it spools; it drains the killed parent's events too."""
    server.pause()
    program = run("fork", 0, 3)
    wait_until(lambda: len(receipts(program)) == 5, 20, what="parent and child to have spooled")
    server.resume()

    wait_until(lambda: len(held(server)) == 5, 20, what="the spool to be drained")
    assert receipts(program) == ["spooled"] * 5
    assert sorted(held(server)) == sorted(numbers(5))


def test_greenlets(server: RedisServer, run: Run) -> None:
    """Under gevent the drainer is a greenlet, and drains."""
    server.pause()
    program = run("gevent", 0, 10)
    program.wait_until(lambda: len(receipts(program)) == 10, what="ten receipts")
    server.resume()

    program.wait_until(lambda: len(held(server)) == 10, what="the spool to be drained")

    assert receipts(program) == ["spooled"] * 10
    assert held(server) == numbers(10)


def test_a_process_without_threads(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can be started, a call probes now and then, and drain_spool drains."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
    queue.enqueue({"n": 0})
    server.kill()
    monkeypatch.setattr("threading.Thread.start", refuse)

    spooled = [queue.enqueue({"n": n}) for n in range(1, 4)]
    monkeypatch.undo()
    server.start()
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", refuse)
        wait_until(lambda: queue.enqueue({"n": 4}) == IN_REDIS, 20, what="a request that asks")
        result = queue.drain_spool(timeout_seconds=20)

    assert spooled == [SPOOLED] * 3
    assert result
    assert result.drained >= 3
    assert set(numbers(5)) == set(held(server))


def test_the_drainer_ends(server: RedisServer) -> None:
    """A process keeps no thread for an empty spool."""
    others = _drainers()
    queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
    server.pause()
    queue.enqueue({"n": 0})
    assert len(_drainers() - others) == 1
    server.resume()

    wait_until(lambda: not queue.spooled(), 20, what="the spool to be drained")

    wait_until(lambda: not _drainers() - others, 20, what="the drainer to end")


def test_many_drainers_take_turns_on_few_threads(server: RedisServer) -> None:
    """Each namespace has a spool of its own; all of them are drained, by a bounded number of threads."""
    queues = [
        connect(server.url, namespace=f"n{number}", enqueue_timeout_seconds=TIMEOUT_SECONDS)
        for number in range(2 * MOST_THREADS + 1)
    ]
    server.kill()

    kept = [queue.enqueue({"n": 0}) for queue in queues]
    drainers = len(_drainers())
    server.start()
    wait_until(
        lambda: not any(queue.spooled() for queue in queues), 60, what="all spools to be drained"
    )

    assert kept == [SPOOLED] * len(queues)
    assert drainers <= MOST_THREADS
    with redis_py.Redis.from_url(server.url) as client:
        held = client.keys("n*:open") + client.keys("n*:batch:*")
    assert len(held) == len(queues)


def _drainers() -> set[int | None]:
    return {each.ident for each in threading.enumerate() if each.name == "vwo-celery-drainer"}


def test_nothing_of_it_is_imported_or_started_before(redis_url: str) -> None:
    """A producer that never spooled has imported no Celery and started no thread."""
    program = (
        "import sys, threading\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from tools.producers import connect\n"
        "queue = connect(sys.argv[2])\n"
        "assert queue.enqueue({'n': 0}).where == 'redis'\n"
        "assert threading.active_count() == 1\n"
        "assert 'celery' not in sys.modules\n"
    )
    command = [sys.executable, "-c", program, str(TESTS), redis_url]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert ran.returncode == 0, ran.stderr
    assert vwo_celery.__version__


def test_a_crowd_of_processes_loses_nothing(folder: Path, tmp_path: Path) -> None:
    """While several processes fill the spool and delete each other's files, each event is found."""
    script = str(TESTS / "tools" / "crowded_spool_program.py")
    with Processes(tmp_path) as programs:
        crowd = [
            programs.start("python", script, str(folder), str(1000 * k), "150", name=f"crowd-{k}")
            for k in range(4)
        ]
        assert [each.wait(60) for each in crowd] == [0] * 4

    told = [line.split() for each in crowd for line in each.log().splitlines()]
    found = {int(n) for word, n in told if word == "drained"}
    found |= {json.loads(text)["n"] for text in drained(open_spool(folder))}
    promised = {int(n) for word, n in told if word == "put"}
    assert len(promised) > 400
    assert promised <= found, f"{len(promised - found)} of {len(promised)} are lost"
