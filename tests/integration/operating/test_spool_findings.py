"""The doctor's findings about this host's spool."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from tools.producers import DESTINATION, numbers
from vwo_celery.connections import open_client
from vwo_celery.operating.doctor import BrokerFacts, Finding, examine
from vwo_celery.operating.doctor.spool import spool_finding
from vwo_celery.producing.limits import limits_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Registration
from vwo_celery.settings import Settings
from vwo_celery.settings.batch_event_data import parse_batch_event_data
from vwo_celery.spool.fallback import fallback_of
from vwo_celery.spool.spool import Spool


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of a host whose spool holds a megabyte."""
    return Settings(spool_dir=str(tmp_path / "spool"), max_spool_bytes=1_000_000)


def fill(settings: Settings, texts: list[bytes]) -> None:
    """Store events in the spool, as an application did that has ended."""
    found = fallback_of(settings).spool
    assert found is not None
    spool = Spool(found.files, max_bytes=settings.max_spool_bytes)
    registration = Registration(DESTINATION, limits_of(parse_batch_event_data(None), settings))
    spool.put(registration, texts)
    spool.close()


def found(settings: Settings) -> tuple[str, str]:
    """The state and the text of the finding."""
    finding: Finding = spool_finding(settings)
    assert finding.check == "spool"
    assert bool(finding.remedy) == (finding.state != "ok")
    return finding.state, finding.what


def test_an_empty_spool_is_well(settings: Settings) -> None:
    """An empty spool is fine, also if it was never needed; the check creates no folder."""
    assert found(settings) == ("ok", f"nothing waits on this host, in {settings.spool_dir}")
    assert not Path(settings.spool_dir).exists()


def test_no_spool_is_a_choice() -> None:
    """Without a spool, the finding says what that means."""
    state, what = found(Settings(spool_dir=""))

    assert state == "ok"
    assert "dropped while Redis" in what


def test_events_that_wait_are_a_warning(settings: Settings) -> None:
    """Waiting events are a warning with their number, their share of the capacity, and their age."""
    fill(settings, numbers(3))

    state, what = found(settings)

    assert state == "warn"
    assert what.startswith("3 events on this host's disk, ")
    assert "of 976.6 KiB, the oldest for" in what


def test_a_spool_that_is_nearly_full_is_a_problem(settings: Settings) -> None:
    """A nearly full spool is a problem, before events are dropped."""
    for _ in range(9):
        fill(settings, [b'{"pad":"%s"}' % (b"x" * 90_000)])

    assert found(settings)[0] == "problem"


def test_a_folder_that_cannot_be_used_is_a_problem(settings: Settings) -> None:
    """An unusable folder is a problem, before the first event needs it."""
    Path(settings.spool_dir).write_text("in the way")

    state, what = found(settings)

    assert state == "problem"
    assert f"{settings.spool_dir} is no folder" in what


def test_a_file_that_cannot_be_read_is_a_problem(settings: Settings) -> None:
    """An unreadable spool file is a problem, and does not end the doctor."""
    fill(settings, numbers(1))
    (database,) = Path(settings.spool_dir).glob("*.sqlite3")
    database.write_bytes(b"garbage " * 1000)

    state, what = found(settings)

    assert state == "problem"
    assert "cannot be read" in what


def test_a_file_that_others_may_write_is_a_problem(settings: Settings) -> None:
    """A file that is left alone is a problem that names it and the remedy."""
    fill(settings, numbers(1))
    (database,) = Path(settings.spool_dir).glob("*.sqlite3")
    database.chmod(0o666)

    state, what = found(settings)

    assert state == "problem"
    assert f"chmod 600 {database}" in what


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
def test_a_file_system_that_takes_no_folder_is_a_problem() -> None:
    """A folder that can never be made is found out by trying, also for root; nothing is left."""
    state, what = found(Settings(spool_dir="/proc/nope"))

    assert state == "problem"
    assert "/proc cannot be written by this user" in what


def test_a_redis_that_is_away_is_told_with_what_waits_for_it(settings: Settings) -> None:
    """How long the oldest event has waited on this host says since when Redis is away."""
    away = replace(settings, redis_url="redis://127.0.0.1:1/0")
    fill(away, numbers(3))

    def open_fleet() -> Fleet:
        return Fleet(open_client(away.redis_url, timeout_seconds=1), away.namespace)

    found = examine(away, open_fleet, lambda _: BrokerFacts(url="redis://b", unchecked="not asked"))

    (redis,) = (each for each in found if each.id == "VC201")
    assert "3 events on this host's disk" in redis.what
    assert "the oldest for" in redis.what
