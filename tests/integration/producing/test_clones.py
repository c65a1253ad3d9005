"""Clones of a process: the same memory and the same process id, as after the start of a snapshot."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_py

from tools.producers import KEPT, connect, snapshot, stored
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*KEPT)
PROGRAM = str(Path(__file__).parents[2] / "tools" / "cloning_program.py")
CLONES, EVENTS = 2, 20
#: Numbers of all events that the program and its clones enqueue.
NUMBERS = [*range(5), *range(10, 10 + EVENTS)] + [
    1000 * clone + n for clone in range(1, CLONES + 1) for n in range(EVENTS)
]


def run(
    url: str, spool: Path, how: str, sockets: str, before: Callable[[], None] = lambda: None
) -> dict[int, str]:
    """Run the program, and *before* before it is cloned; the place of each event."""
    words = (url, str(spool), how, sockets, str(CLONES), str(EVENTS))
    with subprocess.Popen(
        [sys.executable, PROGRAM, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        first = list(iter(program.stdout.readline, "ready\n"))
        before()
        rest, _ = program.communicate("go\n", timeout=90)
    assert program.returncode == 0
    lines = [line.split() for line in [*first, *rest.splitlines()]]
    return {int(number): place for number, place in lines}


def encoded(found: list[int]) -> Counter[bytes]:
    """The events of those numbers."""
    return Counter(b'{"n":%d}' % n for n in found)


@pytest.mark.parametrize("sockets", ["closed", "silent"])
@pytest.mark.parametrize("how", ["singly", "together", "aio"])
def test_each_event_of_each_clone_is_stored(
    how: str, sockets: str, redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    """What each clone was told is in Redis is there once, and nothing counts as lost."""
    places = run(redis_url, tmp_path, how, sockets)

    assert places == dict.fromkeys(NUMBERS, "redis")
    assert Counter(stored(redis)) == encoded(NUMBERS)
    state = snapshot(redis)
    assert (state.balanced, state.dropped) == (True, {})


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be stopped."""
    with RedisServer(appendonly=True) as running:
        yield running


def test_each_event_of_each_clone_is_spooled_and_drained(
    server: RedisServer, tmp_path: Path
) -> None:
    """Pushes of clones under one mark, which may have arrived, are drained each by itself."""
    places = run(server.url, tmp_path, "singly", "silent", before=server.kill)

    server.start()
    assert Counter(places.values()) == {"redis": 5, "spooled": len(NUMBERS) - 5}
    assert connect(server.url, spool_dir=str(tmp_path)).drain_spool(30)
    with redis_py.Redis.from_url(server.url) as client:
        assert Counter(stored(client)) == encoded(NUMBERS)
        assert snapshot(client).balanced
