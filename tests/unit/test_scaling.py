"""The page on scaling has the sums of the example, and names settings as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from tools.docs import DOCS, load_builder
from vwo_celery.errors import SettingsError
from vwo_celery.settings import Settings
from vwo_celery.settings.batch_event_data import SPELLINGS

SCALING = load_builder("build_scaling")
FLEET = SCALING.fleet
PROGRAM = DOCS.parent / "examples" / "scaling" / "fleet.py"
PAGE = SCALING.PAGE.read_text("utf-8")
PROSE = PAGE.partition("<!-- table: settings -->")[0]
FIGURES = FLEET.Figures(
    store={"enqueue": 39, "aio.enqueue": 5, "enqueue_many": 3}, drain_batch=250, drain_event=1,
    worker_batch=2_000, worker_event=2, redis_bytes=1.1, disk_bytes=1.3, busy=0.5,
    master_bytes=50e9, spare=2,
)  # fmt: skip


def test_the_tables_are_made_from_the_example_and_the_code() -> None:
    """`make docs` updates them."""
    assert SCALING.build(PAGE) == PAGE


def test_a_page_without_a_mark_is_an_error() -> None:
    """A mark that somebody removed must not leave old sums on the page."""
    with pytest.raises(ValueError, match="no marks for the table sums"):
        SCALING.build("# Scaling\n")


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("shards", FLEET.MOST_SHARDS),
        ("max_parallel_sends", FLEET.MOST_PARALLEL_SENDS),
        ("max_queue_events", FLEET.MOST_QUEUE_EVENTS),
        ("max_queue_bytes", FLEET.MOST_QUEUE_BYTES),
    ],
)
def test_the_sums_know_how_far_settings_go(name: str, most: int) -> None:
    """The largest values that the sums allow are the largest that the settings take."""
    assert getattr(Settings.load(**{name: most}), name) == most
    with pytest.raises(SettingsError, match=name):
        Settings.load(**{name: most + 1})


def test_every_setting_on_the_page_exists() -> None:
    """A name of several words in backticks is a setting, a batch option or a function of ours."""
    named = set(re.findall(r"`(\w+_\w+)`", PROSE))

    assert named - {*Settings.__struct_fields__, *SPELLINGS} == {"enqueue_many"}


def test_every_setting_of_the_page_is_in_its_table() -> None:
    """The table has the range of each setting that the prose names."""
    named = set(re.findall(r"`(\w+)`", PROSE)) & set(Settings.__struct_fields__)

    assert named == set(SCALING.SETTINGS)


def test_the_sums_of_a_load() -> None:
    """Each sum follows its formula on the page."""
    load = FLEET.Load(100_000, "enqueue", 500, 250, answer=0.2, outage=2, hosts=10)

    found = FLEET.needs(load, FIGURES)

    assert found == FLEET.Needs(
        redis_cores=pytest.approx(4.1),  # 100,000 × (39 + 1 + 250 ÷ 250) µs
        masters=9,  # 4.1 ÷ 0.5
        shards=36,  # 9 × 4
        requests=400,  # 100,000 ÷ 250
        lanes=162,  # 2 × 400 × (0.2 + 0.0025)
        worker_cores=1.0,  # 400 × 2.5 ms
        workers=2,  # 1.0 ÷ 0.5
        gigabits=0.4,  # 100,000 × 500 × 8
        backlog=720_000_000,  # 2 h
        memory=pytest.approx(396),  # × 500 × 1.1
        outage_masters=9,  # 396 ÷ 50, and those for the load
        queues=1,
        held=pytest.approx(1e9 / 360e6),
        spool=pytest.approx(46.8),  # 360 GB × 1.3 ÷ 10
    )


def test_one_master_needs_one_shard() -> None:
    """Shards beyond the first only make batches smaller where there is one master."""
    assert FLEET.needs(FLEET.Load(1_000), FIGURES).shards == 1


@pytest.mark.parametrize(
    ("change", "queues"),
    [
        ({"events": 250_000}, 2),  # 21 masters have 84 shards
        ({"answer": 2.6}, 3),  # 2,084 lanes
        ({"outage": 6.0}, 3),  # 2.16 billion events
        ({"outage": 2.8, "event_bytes": 3_000}, 3),  # 3 TB
    ],
)
def test_what_one_queue_cannot_do_takes_several(change: dict[str, float], queues: int) -> None:
    """Shards, lanes, and the events or bytes of an outage each ask for further queues."""
    load = FLEET.Load(100_000, "enqueue", 500, 250, answer=0.2, outage=2)

    assert FLEET.needs(replace(load, **change), FIGURES).queues == queues


def test_the_program_prints_each_sum() -> None:
    """It needs no package, and its defaults are those of the page."""
    words = [sys.executable, "-I", "-S", str(PROGRAM), "--events", "1000", "--hosts", "4"]

    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout

    wanted = FLEET.told(FLEET.needs(FLEET.Load(1_000, hosts=4), FLEET.Figures()))
    assert [line.split()[-1] for line in told.splitlines()] == [*wanted.values()]
