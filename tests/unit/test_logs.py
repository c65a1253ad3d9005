"""Logging: one logger, and messages that appear once or once a minute."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from vwo_celery import logs
from vwo_celery.logs import LOG_EVERY_SECONDS, MOST_TOPICS, SeldomLog, announce_drop, log_once

FORKS = 10
#: Longest life in seconds of a child that cannot log.
STUCK_SECONDS = 20
#: Longest time that a thread waits for another one, which may not come.
LONGEST_MEETING_SECONDS = 0.5


class Clock:
    """A clock that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


class Topic(str):
    """A topic on whose lookup two threads meet, if two may look at once."""

    __slots__ = ("both",)

    def __hash__(self) -> int:
        with suppress(threading.BrokenBarrierError):
            self.both.wait(LONGEST_MEETING_SECONDS)
        return super().__hash__()


@pytest.fixture(autouse=True)
def captured(caplog: pytest.LogCaptureFixture) -> None:
    """Capture every level."""
    caplog.set_level(logging.DEBUG, "vwo_celery")


def test_the_loggers_have_the_names_that_applications_configure() -> None:
    """The logger has the name that users' configurations refer to."""
    assert (logs.log.name, logs.sdk_log.name) == ("vwo_celery", "vwo_celery.sdk")


def test_a_topic_is_logged_once_in_its_period(caplog: pytest.LogCaptureFixture) -> None:
    """The first message of each topic appears, and the next one after the period."""
    clock = Clock()
    seldom = SeldomLog(clock=clock)

    logged = [seldom.warn("a", "%s", 1), seldom.warn("a", "%s", 2), seldom.error("b", "%s", 3)]
    clock.now += LOG_EVERY_SECONDS
    logged.append(seldom.warn("a", "%s", 4))

    assert logged == [True, False, True, True]
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "1"), ("ERROR", "3"), ("WARNING", "4"),
    ]  # fmt: skip


def test_once_is_once_in_a_process() -> None:
    """A topic that is logged once per process never appears again."""
    once = log_once()

    assert [once.error("a", "a") for _ in range(3)] == [True, False, False]


def test_memory_is_bounded() -> None:
    """Topics that differ each time do not use more and more memory: the oldest are forgotten."""
    once = log_once()

    logged = [once.warn(f"{number}", "a") for number in range(2 * MOST_TOPICS)]

    assert all(logged)
    assert len(once._logged_at) == MOST_TOPICS
    assert not once.warn(f"{2 * MOST_TOPICS - 1}", "a")
    assert once.warn("0", "a")


def test_threads_log_a_topic_once() -> None:
    """Of several threads that log the same topic at the same moment, one does."""
    once, topic = log_once(), Topic("a")
    topic.both = threading.Barrier(2)

    with ThreadPoolExecutor(2) as threads:
        logged = list(threads.map(lambda _: once.warn(topic, "a"), range(2)))

    assert sorted(logged) == [False, True]


@pytest.fixture
def busy() -> Iterator[None]:
    """A thread that nearly always holds the lock."""
    stop = threading.Event()
    seldom = SeldomLog(clock=lambda: float(sum(range(100_000))))
    thread = threading.Thread(
        target=lambda: [seldom.warn("a", "a") for _ in iter(stop.is_set, True)]
    )
    thread.start()
    yield

    stop.set()
    thread.join()


def test_a_child_logs_though_a_thread_was_logging_at_the_fork(busy: None) -> None:
    """A forked child does not wait for a thread that held the lock in the parent."""
    ends = []
    for _ in range(FORKS):
        pid = os.fork()
        if not pid:
            signal.alarm(STUCK_SECONDS)
            os._exit(0 if log_once()._is_due("a") else 1)
        ends.append(os.waitpid(pid, 0)[1])

    assert ends == [0] * FORKS


#: Forks in C while another thread logs, and runs of Python's hooks only the child's, as uWSGI does.
FORK_IN_C = """
import ctypes, os, signal, sys, threading
from vwo_celery import logs

entered = threading.Event()

def clock():
    entered.set()
    threading.Event().wait()

threading.Thread(target=lambda: logs.SeldomLog(clock=clock).warn("a", "a"), daemon=True).start()
entered.wait()
pid = ctypes.PyDLL(None).fork()
if not pid:
    if sys.version_info < (3, 13):
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:  # it ends a child whose parent ran no hook before the fork
        logs._memory.start_child()
    signal.alarm(20)
    logs.announce_drop("a queue", "oldest", 5)
    os._exit(0)
os._exit(os.waitpid(pid, 0)[1] != 0)
"""


def test_a_child_forked_in_c_logs_too() -> None:
    """A child forked in C, without the parent's hooks, logs and waits for no lock."""
    ended = subprocess.run(
        [sys.executable, "-c", FORK_IN_C], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "5 events of queue a queue dropped (oldest)\n")


#: Drops events in greenlets, and in a handler of a signal that comes all the time.
DROP_IN_GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent, itertools, logging, signal
from vwo_celery import logs

logging.getLogger("vwo_celery").addHandler(logging.NullHandler())
names = map(str, itertools.count())

def drop(*_):
    logs.announce_drop("a queue", next(names), 1)

def work():
    for number in range(300):
        drop()
        if not number % 50:
            gevent.sleep(0)

signal.signal(signal.SIGALRM, drop)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
gevent.joinall([gevent.spawn(work) for _ in range(30)], raise_error=True)
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_a_signal_handler_logs_under_gevent() -> None:
    """A handler never waits for the greenlet that it interrupted."""
    ended = subprocess.run(
        [sys.executable, "-c", DROP_IN_GREENLETS], capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip

    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_line_counts_all_drops_since_the_last_one(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log line counts all drops since the last line, also those that were not logged."""
    clock = Clock()
    monkeypatch.setattr(logs, "seldom", SeldomLog(clock=clock))

    for _ in range(3):
        announce_drop("a queue", "oldest", 5, "make it larger")
    clock.now += LOG_EVERY_SECONDS
    announce_drop("a queue", "oldest", 1)

    first, second = caplog.messages
    assert first == "5 events of queue a queue dropped (oldest): make it larger"
    assert re.fullmatch(
        r"11 events of queue a queue dropped \(oldest\) since \d\d:\d\d:\d\d \([\d.]+ s\)", second
    )
