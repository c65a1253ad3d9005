"""Applications that fork after they have used their queue: web servers, threads, asyncio, Celery.

A fork copies connections, locks and counters. None of them may be used on both sides.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from celery import Celery

import vwo_celery
import vwo_celery.aio
from tools.processes import Process, Processes
from tools.producers import DESTINATION, KEPT, snapshot, stored
from tools.visitors import Visitors
from tools.waiting import wait_until
from vwo_celery.testing import RedisServer, Standin, free_port

HERE = Path(__file__).parent
MARK_TTL_MS = 3_600_000
WEB_WORKERS = 3
PER_REQUEST = 10
_STOP_SECONDS = 45.0
_MONITOR_END = "end of the test"

pytestmark = pytest.mark.declared_keys(*KEPT)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a socket")


def _facts(process: Process) -> dict[str, Any]:
    """What a program printed; its log may go on after that."""
    facts = [line for line in process.log().splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(facts[-1])
    return found


@pytest.fixture
def run(redis_url: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run a program of forking.py, whose children must exit with 0; its facts."""

    def run(program: str, **env: str) -> dict[str, Any]:
        env = {"VWO_CELERY_REDIS_URL": redis_url, **env}
        command = ("python", "-W", "ignore", "forking.py", program)
        with Process(*command, folder=tmp_path, name=program, env=env, cwd=HERE) as process:
            assert process.wait(60) == 0, process.log()
        told = _facts(process)
        assert set(told["codes"]) == {0}, process.log()
        return told

    return run


def names(redis: redis_py.Redis) -> Counter[str]:
    """The number of times that each event is stored."""
    return Counter(json.loads(text)["name"] for text in stored(redis))


def numbered(name: str, count: int) -> list[str]:
    """The names of the given number of events."""
    return [f"{name}-{number}" for number in range(count)]


# --- gunicorn -------------------------------------------------------------------------------------


class Web:
    """gunicorn with an application that its master has loaded and used before it forks."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        env = {"VWO_CELERY_REDIS_URL": redis_url, "FORK_WEB": "1"}
        self._programs = Processes(folder, env=env, cwd=HERE)
        self.port = free_port()
        self.visitors = Visitors(f"http://127.0.0.1:{self.port}")

    def start(self, *options: str) -> None:
        """Return once it answers requests."""
        self.master = self._programs.start(
            "python", "-m", "gunicorn", "fork_web", "--preload", "--bind", f"127.0.0.1:{self.port}",
            "--workers", str(WEB_WORKERS), "--threads=2", "--config=python:fork_web", *options,
            name="gunicorn",
        )  # fmt: skip
        self.master.wait_for_port(self.port)

    def visit(self, who: list[str]) -> list[dict[str, Any]]:
        """The application's answers, in order."""
        return [answer.json() for answer in self.visitors.each(self.visitors.get, who)]

    def stop(self) -> None:
        """Stop gunicorn."""
        self._programs.stop()


@pytest.fixture
def web(redis_url: str, tmp_path: Path) -> Iterator[Web]:
    """gunicorn, not started yet."""
    web = Web(redis_url, tmp_path)
    try:
        yield web
    finally:
        web.stop()


def test_workers_of_a_preloaded_application_store_each_event_once(
    web: Web, redis: redis_py.Redis
) -> None:
    """Workers come and go while others enqueue; no receipt and no answer belongs to another
    process.

    Redis itself saw each connection carry the events of only one process, also of the master.
    """
    visitors = [f"/visitor-{number}" for number in range(60)]

    with redis.monitor() as monitor:
        web.start("--max-requests=8", "--max-requests-jitter=4")
        answers = web.visit(visitors)
        redis.echo(_MONITOR_END)
        writers = _writers(monitor)

    assert {where for answer in answers for where in answer["stored"]} == {"redis"}
    assert all(answer["own_answer"] for answer in answers)
    assert len({answer["pid"] for answer in answers}) > WEB_WORKERS  # some of them were replaced
    found = names(redis)
    forks = [name for name in found if name.startswith("fork-")]
    assert len(forks) > WEB_WORKERS
    visited = [name for path in visitors for name in numbered(path.strip("/"), PER_REQUEST)]
    assert found == Counter([*visited, "import-0", *forks])
    assert snapshot(redis).balanced
    assert {len(pids) for pids in writers.values()} == {1}
    pids = {answer["pid"] for answer in answers} | {web.master.pid}
    assert {pid for each in writers.values() for pid in each} == pids


def _writers(monitor: Any) -> dict[str, set[int]]:
    """The processes whose events each connection to Redis carried, by the client's port."""
    writers: dict[str, set[int]] = defaultdict(set)
    while _MONITOR_END not in (seen := monitor.next_command())["command"]:
        found = re.findall(r'"pid\\*":(\d+)', seen["command"])
        if seen["client_type"] != "lua" and found:
            writers[seen["client_port"]] |= set(map(int, found))
    return writers


@linux_only
def test_no_two_processes_have_the_same_connection(web: Web, redis: redis_py.Redis) -> None:
    """Once a worker has enqueued, its inherited copies of the master's connections are closed."""
    web.start()
    seen: set[int] = set()

    def all_seen() -> bool:
        seen.update(answer["pid"] for answer in web.visit(["/visitor"] * 8))
        return len(seen) == WEB_WORKERS

    wait_until(all_seen, 20, what="an answer of each worker")

    processes = {*seen, web.master.pid}

    def all_found() -> dict[str, set[int]]:
        holders = _holders(redis, processes)
        return holders if set.union(*holders.values()) == processes else {}

    # The kernel's table may leave a socket out while others come and go.
    holders = wait_until(all_found, what="a connection of each process")
    assert {len(pids) for pids in holders.values()} == {1}


def _holders(redis: redis_py.Redis, processes: set[int]) -> dict[str, set[int]]:
    """The processes that hold an open socket to Redis, by the client's address."""
    sockets = {f"socket:[{inode}]": port for port, inode in _inodes().items()}
    holders: dict[str, set[int]] = defaultdict(set)
    clients = {int(each["addr"].rpartition(":")[2]) for each in redis.client_list()}
    for pid in processes:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            port = sockets.get(_target(link))
            if port in clients:
                holders[str(port)].add(pid)
    return holders


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # closed just now
        return ""


def _inodes() -> dict[int, str]:
    """Local port to inode of every TCP connection of this host (proc(5))."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return {int(row[1].rpartition(":")[2], 16): row[9] for row in rows if row[9] != "0"}


# --- fork at any moment ---------------------------------------------------------------------------


def test_children_enqueue_though_threads_were_enqueuing_at_the_fork(
    redis: redis_py.Redis, run: Callable[..., dict[str, Any]]
) -> None:
    """After a fork at any moment, as in uWSGI, a lock held by a thread of the parent blocks no child."""
    told = run("while_threads_enqueue")

    children = [name for child in range(60) for name in numbered(f"child-{child}", 5)]
    threads = [
        name
        for thread, count in enumerate(told["stored"])
        for name in numbered(f"thread-{thread}", count)
    ]
    assert names(redis) == Counter([*children, *threads])
    assert snapshot(redis).balanced


def test_children_spool_though_a_thread_was_spooling_at_the_fork(tmp_path: Path) -> None:
    """Events that children spool while Redis is away are stored once when it is back."""
    with RedisServer(appendonly=True) as server:
        env = {"VWO_CELERY_REDIS_URL": server.url, "VWO_CELERY_SPOOL_DIR": str(tmp_path / "spool")}
        command = ("python", "-W", "ignore", "forking.py", "while_redis_is_away")
        with Process(*command, folder=tmp_path, name="forking", env=env, cwd=HERE) as process:
            process.wait_for_log("Redis may go")
            server.kill()
            process.wait_for_log("Redis may come back", 60)
            server.start()
            assert process.wait(60) == 0, process.log()

        told = _facts(process)
        assert set(told["codes"]) == {0}, process.log()
        redis = redis_py.Redis.from_url(server.url)
        found = names(redis)
        assert snapshot(redis).balanced
    parent = [*numbered("before", 10), *numbered("until", told["until"])]
    children = [name for child in range(12) for name in numbered(f"child-{child}", 5)]
    thread = [f"thread-{number}-0" for number in range(told["stored"])]
    assert found == Counter([*parent, *children, *thread])


def test_many_short_lives_leave_nothing_that_lasts(
    redis: redis_py.Redis, run: Callable[..., dict[str, Any]]
) -> None:
    """Each child leaves one mark, which Redis forgets within the hour, and no connection."""
    assert not names(redis)  # opens the necessary connections
    clients = len(redis.client_list())

    run("short_lives")

    assert set(names(redis).values()) == {1}
    assert len(names(redis)) == 2 * 61
    marks = redis.keys("*:mark:*")
    assert len(marks) == 61
    assert all(0 < redis.pttl(mark) <= MARK_TTL_MS for mark in marks)
    wait_until(lambda: len(redis.client_list()) <= clients, 10, what="the clients to be gone")


def test_a_fork_in_an_event_loop(redis: redis_py.Redis, run: Callable[..., dict[str, Any]]) -> None:
    """Children go on with a threads' queue or their own loop; the parent's awaits are not affected."""
    run("in_an_event_loop")

    counts = {"before": 10, "during": 500, "without": 20, "own": 20, "after": 10}
    assert names(redis) == Counter(each for name in counts for each in numbered(name, counts[name]))


# --- multiprocessing ------------------------------------------------------------------------------


def test_a_queue_may_be_given_to_a_forked_process(
    redis: redis_py.Redis, run: Callable[..., dict[str, Any]]
) -> None:
    """With the start method "fork", arguments are inherited and not pickled."""
    run("given")

    assert names(redis) == Counter([*numbered("parent", 5), *numbered("child", 30)])


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_start_methods_need_a_connect_of_their_own(
    redis: redis_py.Redis, run: Callable[..., dict[str, Any]], method: str
) -> None:
    """A queue cannot be pickled into a new process; the error says to connect there, which works."""
    told = run(method)

    assert "call vwo_celery.connect" in told["error"]
    assert names(redis) == Counter([*numbered("parent", 5), *numbered("child", 30)])


@pytest.mark.parametrize("ends_in", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", [vwo_celery.connect, vwo_celery.aio.connect])
def test_a_queue_is_never_copied(kind: Any, ends_in: Callable[[object], object]) -> None:
    """A queue cannot be copied: a copy would hold the password and the SDK key, and share marks."""
    queue = kind(DESTINATION, redis_url="redis://user:secret-password@redis.example:6379/0")

    with pytest.raises(TypeError) as caught:
        ends_in(queue)

    assert "call vwo_celery.connect" in str(caught.value)
    assert "secret-password" not in str(caught.value)
    assert DESTINATION.sdk_key not in str(caught.value)


# --- Celery ---------------------------------------------------------------------------------------


def test_tasks_of_a_prefork_pool_enqueue(
    redis: redis_py.Redis, redis_url: str, standin: Standin, tmp_path: Path, declared_keys: Any
) -> None:
    """Children of a pool that come and go enqueue inside tasks and deliver: every event once."""
    declared_keys("broker:*")
    env = {
        "VWO_CELERY_REDIS_URL": redis_url,
        "VWO_CELERY_ALLOWED_HOSTS": standin.netloc,
        "VWO_CELERY_ENQUEUE_TIMEOUT_SECONDS": "10",
        "FORK_TASKS_URL": standin.url,
    }
    celery = ("python", "-m", "celery", "-A", "fork_tasks")
    options = ("--concurrency=2", "--max-tasks-per-child=2", "--without-mingle", "--loglevel=INFO")
    with Processes(tmp_path, env=env, cwd=HERE, stop_timeout_seconds=_STOP_SECONDS) as programs:
        worker = programs.start(*celery, "worker", *options, name="worker")
        worker.wait_for_log("ready.")
        tasks = [f"task-{number}" for number in range(12)]
        with Celery(broker=redis_url) as app:
            app.conf.broker_transport_options = {"global_keyprefix": "broker:"}
            for task in tasks:
                app.send_task("fork_tasks.work", (task, 100), ignore_result=True)

        events = ["import-0", *(name for task in tasks for name in numbered(task, 100))]
        wait_until(lambda: len(standin.events) >= len(events), 40)

    assert Counter(each["u"] for each in standin.events) == Counter(events)
    children = set(re.findall(r"worked in process (\d+)", worker.log()))
    assert len(children) > 2
