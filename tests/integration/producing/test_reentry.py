"""A signal handler or a `__del__` enqueues in the middle of an enqueue of its own thread."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.redis_groups import ClusterGroup, SentinelGroup, client_of
from vwo_celery.testing import RedisServer, free_port

PROGRAM = str(Path(__file__).parents[2] / "tools" / "reentering_program.py")
#: Much longer than the program takes; one that waits for itself would never end.
HANGS_SECONDS = 400
#: Fewest interruptions of one program; how many it meets depends on how Python runs its steps.
FEWEST_POINTS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server without any other user's keys."""
    with RedisServer() as running:
        yield running


def run(scene: str, url: str, spool: Path, every: int) -> dict[str, str]:
    """Run the program; the place of each event by its number."""
    ran = subprocess.run(
        [sys.executable, PROGRAM, scene, url, str(spool), str(every)],
        capture_output=True, text=True, timeout=HANGS_SECONDS, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    printed = json.loads(ran.stdout)
    assert printed["points"] > FEWEST_POINTS, "the program was hardly interrupted"
    return printed["places"]


def in_redis(*servers: RedisServer) -> Counter[str]:
    """How often each event is in Redis, in any queue."""
    found: Counter[str] = Counter()
    for client in map(client_of, servers):
        for key in client.scan_iter(_type="list"):
            if not key.endswith(":wakeups"):
                events = map(json.loads, client.lrange(key, 0, -1))
                found.update(str(event["n"]) for event in events)
    return found


def on_disk(spool: Path) -> Counter[str]:
    """How often each event is in a spool of that folder, under a queue that the spool knows."""
    found: Counter[str] = Counter()
    for path in spool.glob("*.sqlite3"):
        rows = sqlite3.connect(path).execute(
            "SELECT text FROM events JOIN queues ON queues.id = queue"
        )
        found.update(str(json.loads(text)["n"]) for (text,) in rows)
    return found


SCENES = [("steady", 2), ("sealing", 3), ("first", 307)]


@pytest.mark.parametrize(("scene", "every"), SCENES)
def test_every_receipt_is_true(scene: str, every: int, server: RedisServer, tmp_path: Path) -> None:
    """Wherever an enqueue is interrupted by another one of its thread, Redis stores both once."""
    client_of(server).flushall()

    places = run(scene, server.url, tmp_path, every)

    assert Counter(places.values()) == {"redis": len(places)}
    assert in_redis(server) == Counter(list(places))


@pytest.mark.parametrize(("scene", "every"), [("steady", 2), ("first", 307)])
def test_every_event_is_spooled(scene: str, every: int, tmp_path: Path) -> None:
    """The same while Redis is away: both are spooled once, and nothing waits for itself."""
    places = run(scene, f"redis://127.0.0.1:{free_port()}/0", tmp_path, every)

    assert Counter(places.values()) == {"spooled": len(places)}
    assert on_disk(tmp_path) == Counter(list(places))


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_with_several_servers(kind: str, tmp_path: Path) -> None:
    """The same with Sentinel and with a Cluster: no lock of theirs or of redis-py's is in the way."""
    group = SentinelGroup(tmp_path) if kind == "sentinel" else ClusterGroup()
    with group:
        servers = [group.master] if isinstance(group, SentinelGroup) else group.masters
        for scene, every in [("steady", 2), ("first", 397)]:
            places = run(scene, group.url, tmp_path, every)

            assert Counter(places.values()) == {"redis": len(places)}
            assert in_redis(*servers) == Counter(list(places))
            for each in servers:
                client_of(each).flushall()
