"""The application's log says where events are while Redis is away, and that they have left again."""

from __future__ import annotations

import logging
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vwo_celery
from tools.producers import KEPT, TIMEOUT_SECONDS, connect
from tools.waiting import wait_until
from vwo_celery import Destination, logs
from vwo_celery.logs import LOG_EVERY_SECONDS, SeldomLog
from vwo_celery.spool import diary
from vwo_celery.spool.diary import Diary
from vwo_celery.testing import RedisServer, free_port

pytestmark = pytest.mark.declared_keys(*KEPT)
SINCE = r"since \d\d:\d\d:\d\d \([\d.]+ (s|min)\)"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be stopped."""
    with RedisServer() as running:
        yield running


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of every diary."""
    now = [1000.0]
    monkeypatch.setattr(diary, "monotonic", lambda: now[0])
    monkeypatch.setattr(logs, "seldom", SeldomLog())
    return now


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings so far."""
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


def test_where_events_are_kept(
    server: RedisServer, tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """One line a minute names the folder, the cause and the number; the last one says they left."""
    queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS, spool_dir=str(tmp_path))
    assert queue.enqueue({"n": 0})
    server.pause()
    for n in range(3):
        queue.enqueue({"n": n})
    clock[0] += LOG_EVERY_SECONDS
    for n in range(3):
        assert queue.enqueue({"n": n}).where == "spooled"
    server.resume()
    wait_until(lambda: len(warnings(caplog)) == 3, what="the line that they have left")

    first, second, last = warnings(caplog)
    where = re.escape(f"; events are kept on this host's disk meanwhile, in {tmp_path}")
    assert re.fullmatch(
        rf"Redis .*Timeout.*{where}: 1 event of this process so far. They are sent by themselves when "
        "Redis takes them again",
        first,
    )
    assert re.search(rf"{where}: 4 events of this process {SINCE}. They are sent", second)
    assert re.fullmatch(
        rf"all 6 events that this process kept on this host's disk {SINCE} have been stored in Redis",
        last,
    )


def test_one_cause_is_one_line_however_many_queues_meet_it(
    tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Where Redis is away from the start, each queue fails to register: that is no line of its own."""
    url = f"redis://127.0.0.1:{free_port()}/0"

    for account in (1, 2, 3):
        queue = vwo_celery.connect(
            Destination(account_id=account, sdk_key="k" * 32, generation="fme"),
            redis_url=url, spool_dir=str(tmp_path),
        )  # fmt: skip
        assert queue.enqueue({"n": 0}).where == "spooled"

    (line,) = warnings(caplog)
    assert line.startswith("nothing listens at the address of Redis")


def test_events_that_nothing_keeps(
    server: RedisServer, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Without a spool the first line says that each event is lost, and what to do; the last how many."""
    queue = connect(server.url, spool_dir="", enqueue_timeout_seconds=TIMEOUT_SECONDS)
    assert queue.enqueue({"n": 0})
    server.pause()
    for n in range(5):
        queue.enqueue({"n": n})
    server.resume()
    wait_until(lambda: queue.enqueue({"n": 5}), what="an event in Redis")

    first, last = warnings(caplog)
    assert first.startswith(f"1 event of queue {queue.name} dropped (redis_unavailable): Redis")
    assert "Timeout" in first
    assert "each is lost until Redis takes them again; set it (VWO_CELERY_SPOOL_DIR)" in first
    lost = queue.dropped["redis_unavailable"]
    assert lost >= 5
    assert re.fullmatch(
        rf"Redis takes events again. {lost} events of this process were lost {SINCE}, since this "
        r"host's disk did not keep them \(redis_unavailable\); vwo-celery status has the sum .*",
        last,
    )


def test_an_outage_without_a_loss_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing was lost, the end is no warning."""
    caplog.set_level(logging.INFO, "vwo_celery")

    Diary("/folder").note_recovered("10.0.0.1:6379")

    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("INFO", "Redis takes events again at 10.0.0.1:6379")
    ]


def test_one_that_came_since_is_not_told_as_gone(caplog: pytest.LogCaptureFixture) -> None:
    """An event that is kept after the disk was seen empty is still there."""
    kept = Diary("/folder")
    kept.note_kept(2, "away")
    before = kept.kept
    kept.note_kept(1, "away")

    kept.note_empty(before)
    assert len(warnings(caplog)) == 1
    kept.note_empty(kept.kept)
    assert warnings(caplog)[1].startswith("all 3 events that this process kept")


def test_what_made_room_is_not_told_as_stored(caplog: pytest.LogCaptureFixture) -> None:
    """Events that were dropped from the disk for newer ones are left out, and told as lost."""
    kept = Diary("/folder")
    kept.note_kept(5, "away")
    kept.note_lost("a queue", "spool_oldest", 2)
    kept.note_lost("a queue", "not_json", 9)

    kept.note_recovered()
    kept.note_empty(kept.kept)

    _, lost, gone = warnings(caplog)
    assert ". 2 events of this process were lost" in lost
    assert gone.endswith("have been stored in Redis, but for 2 that were dropped to make room")


def test_a_child_tells_nothing_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process kept before a fork is told by that process alone."""
    kept = Diary("/folder")
    kept.note_kept(5, "away")
    here: Any = diary.PerProcess.get.__globals__
    monkeypatch.setitem(here, "getpid", lambda: -1)

    assert kept.kept == 0


def test_events_that_a_full_disk_does_not_let_go(
    server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where Redis is back, and the disk takes no mark of what was moved, a line says what to mend."""
    queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS, spool_dir=str(tmp_path))
    assert queue.enqueue({"n": 0})
    server.pause()
    assert queue.enqueue({"n": 1}).where == "spooled"
    (wal,) = tmp_path.glob("*-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size, hard))
    try:
        server.resume()
        wait_until(lambda: "cannot be moved to Redis now" in caplog.text, what="the line")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    wait_until(lambda: queue.spooled() == 0, what="the event in Redis")
