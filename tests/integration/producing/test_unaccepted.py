"""What producers drop, spool and drain is known to the whole fleet once they reach Redis again."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import redis as redis_py

import vwo_celery
from tools.command_line import run_command
from tools.producers import DESTINATION, KEPT, TIMEOUT_SECONDS, connect
from tools.waiting import wait_until
from vwo_celery import aio
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.looks.outside import view_tallies
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.tallies import Tally, sum_tallies
from vwo_celery.queue.records import reports
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.marks import Marks
from vwo_celery.spool import reporter
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*KEPT)
PROGRAM = Path(__file__).parents[2] / "tools" / "dropping_program.py"
NO_OBJECT: Any = "not an object"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be stopped."""
    with RedisServer() as running:
        yield running


def told(url: str) -> Tally:
    """What the fleet knows."""
    with redis_py.Redis.from_url(url) as client:
        fleet = Fleet(client, "vwo")
        return sum_tallies(view_tallies(fleet, fleet.registrations().readable).values())


def unaccepted(url: str) -> dict[str, int]:
    """Events that producers told of as dropped, by reason."""
    return {reason: each.events for reason, each in told(url).unaccepted.items()}


class Dropping:
    """One `dropping_program`."""

    def __init__(self, url: str, events: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), url, str(events)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def dropped(self) -> int:
        """The number that it prints next."""
        return int(_pipe(self._process.stdout).readline())

    def go_on(self) -> None:
        """Let it do what comes next."""
        _pipe(self._process.stdin).write("\n")
        _pipe(self._process.stdin).flush()

    def end(self, *, kill: bool = False) -> None:
        """Let it end, or kill it."""
        if kill:
            self._process.kill()
        self._process.communicate()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def test_drops_of_several_processes_are_summed(server: RedisServer) -> None:
    """After an outage each process tells what it dropped; what a killed one dropped is not known.

    `status` and `doctor` say so, with their numbers, since when, and what to do.
    """
    programs = [Dropping(server.url, 500) for _ in range(3)]
    assert [each.dropped() for each in programs] == [0, 0, 0]
    server.pause()
    for each in programs:
        each.go_on()
    assert [each.dropped() for each in programs] == [500, 500, 500]
    programs.pop().end(kill=True)
    server.resume()
    for each in programs:
        each.go_on()
    dropped = sum(each.dropped() for each in programs)

    status = json.loads(run_command(["status", "--json", "--redis-url", server.url]).stdout)
    shown = run_command(["status", "--redis-url", server.url]).stdout
    doctor = json.loads(run_command(["doctor", "--json", "--redis-url", server.url]).stdout)
    for each in programs:
        each.end()

    assert dropped >= 1000
    lost = status["producers"]["unaccepted"]
    assert {reason: each["events"] for reason, each in lost.items()} == {
        "redis_unavailable": dropped
    }
    told = lost["redis_unavailable"]
    assert told["recent_events"] == dropped
    assert told["since_ms"] <= told["last_ms"] <= status["now_ms"]
    assert status["queues"][0]["producers"] == status["producers"]
    phrase = f"{dropped:,} events dropped on the way to Redis"
    assert shown.count(phrase) == 2  # for the fleet and for its queue
    (finding,) = [each for each in doctor if each["check"] == "unaccepted"]
    assert finding["state"] == "problem"
    assert finding["what"].startswith(phrase)
    assert "spool_dir" in finding["remedy"]


def test_a_child_tells_only_its_own(redis_url: str) -> None:
    """A forked child does not tell what its parent dropped; both tell their own."""
    queue = connect(redis_url)
    assert queue.enqueue({"n": 0})
    for _ in range(3):
        queue.enqueue(NO_OBJECT)
    pid = os.fork()
    if pid == 0:
        queue.enqueue(NO_OBJECT)
        os._exit(0 if queue.enqueue({"n": 1}) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert unaccepted(redis_url) == {"not_an_object": 1}

    queue.enqueue({"n": 2})

    assert unaccepted(redis_url) == {"not_an_object": 4}


def test_spooled_and_drained_are_told_by_the_drain(server: RedisServer) -> None:
    """What waited on the disk is known after its drain, and counted as no drop."""
    queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
    assert queue.enqueue({"n": 0})
    server.pause()
    assert {queue.enqueue({"n": n}).where for n in range(1, 8)} == {"spooled"}
    server.resume()

    wait_until(lambda: told(server.url).drained.events == 7, what="the report of the drain")

    tally = told(server.url)
    assert (tally.spooled.events, tally.on_disk, tally.unaccepted) == (7, 0, {})


@pytest.mark.parametrize("events_per_request", [100, 2])  # by append.lua, and by enqueue.lua
def test_a_call_tells_seldom(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, events_per_request: int
) -> None:
    """Where every other event is dropped, one call in ten seconds tells of it, and only then."""
    now, told_of = [1000.0], []
    monkeypatch.setattr(reporter, "monotonic", lambda: now[0])
    monkeypatch.setattr(
        reporter, "report", lambda shard, told, **more: told_of.append(told.counts) or True
    )
    queue = connect(redis_url, batch={"events_per_request": events_per_request})
    queue.enqueue({"n": 0})
    assert told_of == []

    for _ in range(2):
        for n in range(5):
            queue.enqueue(NO_OBJECT)
            assert queue.enqueue({"n": n})
        now[0] += reporter.REPORT_EVERY_SECONDS
    queue.enqueue({"n": 5})
    queue.enqueue({"n": 6})

    counts = [each["unaccepted:not_an_object"].events for each in told_of]
    assert counts == [1, 5, 4]


def test_a_slow_call_does_not_tell(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that has taken most of its time leaves the telling to a later one."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})
    queue.enqueue(NO_OBJECT)
    mark_was_taken_ns = 0
    take = Marks.take

    def take_long_ago(marks: Marks, events: int) -> Any:
        mark = take(marks, events)
        mark.taken_ns = mark_was_taken_ns
        return mark

    with monkeypatch.context() as patch:
        patch.setattr(Marks, "take", take_long_ago)
        assert queue.enqueue({"n": 1})
    assert unaccepted(redis_url) == {}

    assert queue.enqueue({"n": 2})
    assert unaccepted(redis_url) == {"not_an_object": 1}


def test_a_lost_answer_counts_nothing_twice(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report whose answer was lost is sent again as it was; what came since is told after it."""
    now = [1000.0]
    monkeypatch.setattr(reporter, "monotonic", lambda: now[0])
    queue = connect(redis_url)
    queue.enqueue({"n": 0})
    queue.enqueue(NO_OBJECT)

    def lose(shard: Shard, told: reports.Report, *, now: float) -> bool:
        reports.report(shard, told, now=now)
        raise QueueUnavailable("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(reporter, "report", lose)
        assert queue.enqueue({"n": 1})
    assert unaccepted(redis_url) == {"not_an_object": 1}
    queue.enqueue(NO_OBJECT)
    for n in range(2):
        now[0] += reporter.REPORT_EVERY_SECONDS
        queue.enqueue({"n": 2 + n})

    assert unaccepted(redis_url) == {"not_an_object": 2}


def test_asyncio_tells_too(redis_url: str) -> None:
    """An await that reaches Redis tells, from a thread."""

    async def run() -> None:
        queue = aio.connect(DESTINATION, redis_url=redis_url, enqueue_timeout_seconds=5.0)
        assert await queue.enqueue({"n": 0})
        await queue.enqueue(NO_OBJECT)
        assert await queue.enqueue({"n": 1})
        await queue.aclose()

    asyncio.run(run())

    assert unaccepted(redis_url) == {"not_an_object": 1}


ENDING = """
import sys
from tools.producers import connect

def once():
    queue = connect(sys.argv[1])
    assert queue.enqueue({"n": 0})
    queue.enqueue("not an object")

once()
"""


def test_a_process_tells_as_it_ends(redis_url: str) -> None:
    """A process that ends without a further call has told, though its queue is gone by then."""
    tests = str(PROGRAM.parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", ENDING, redis_url],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, tests])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert unaccepted(redis_url) == {"not_an_object": 1}


def test_many_notes_take_little_memory() -> None:
    """A million drops are a few numbers, though nobody could be told of them."""
    told = reporter.Reporter(lambda: pytest.fail("nothing to tell"))
    for n in range(5_000):
        told.note(f"queue {n % 3}", "unaccepted:redis_unavailable", 2)

    numbers = told._numbers.get()
    assert len(numbers.notes) <= reporter._MOST_NOTES + 1
    numbers.sum_up()
    assert sum(each.events for sums in numbers.sums.values() for each in sums.values()) == 10_000
    reporter._with_news.discard(told)


def test_a_retry_of_the_spool_is_no_refusal(redis_url: str, redis: redis_py.Redis) -> None:
    """A full queue refuses what an application pushes; the drainer's tries are not counted again."""
    queue = connect(redis_url, max_queue_events=2)
    assert [queue.enqueue({"n": n}).where for n in range(3)] == ["redis", "redis", "spooled"]
    for _ in range(3):
        assert not queue.drain_spool(0)

    status = json.loads(run_command(["status", "--json", "--redis-url", redis_url]).stdout)

    assert status["queues"][0]["refused"] == 1
    redis.flushall()
    assert queue.drain_spool(20)


def test_the_public_names_stay() -> None:
    """The counters of a process are where they were: `Queue.dropped` has what it dropped itself."""
    queue = connect("redis://127.0.0.1:1/0", spool_dir="")
    queue.enqueue(NO_OBJECT)

    assert dict(queue.dropped) == {"not_an_object": 1}
    assert isinstance(queue, vwo_celery.Queue)
