"""shadow.lua: what a process counted of a shadowed SDK is added to the shared counters, once."""

from __future__ import annotations

from typing import Any

import pytest

from lua.world import World
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records import shadows
from vwo_celery.queue.records.shadows import (
    NOTHING,
    OTHERS,
    WORD,
    Answer,
    RowName,
    Shadow,
    State,
    Sum,
    Sums,
    Told,
    add_counts,
    forget_counts,
    read_shadow,
)

pytestmark = pytest.mark.declared_keys("shadow")

ROW = RowName("fme-1-test", "purchase", "")


def sums(hooked: Sum = Sum(), held: Sum = Sum()) -> Sums:  # noqa: B008 - never changed
    """The sums of a row of which only these two are something."""
    return (hooked, Sum(), Sum(), held, *NOTHING[4:])


def told(world: World, call: int = 1, **changed: Any) -> Answer:
    """Add what a process counted."""
    state: State = changed.pop("state", "runs")
    given = {
        "process": "p1", "host": "web-1", "call": call, "since_ms": 0, "held": 0, "state": state,
        "rows": {}, **changed,
    }  # fmt: skip
    return add_counts(Fleet(world.client, "vwo"), Told(**given))


def read(world: World) -> Shadow:
    """All that is counted."""
    found = read_shadow(Fleet(world.client, "vwo"))
    assert found is not None
    return found


def test_counts_of_processes_are_added(world: World) -> None:
    """Numbers may fall, such as those of held events; sums of digests are kept modulo 2 to the 32."""
    first = told(world, rows={ROW: sums(Sum(3, 5, WORD - 1), Sum(2, 1, 1))}, held=2)

    again = told(
        world, 2, since_ms=first.since_ms, rows={ROW: sums(Sum(), Sum(-2, WORD - 1, WORD - 1))}
    )
    other = told(world, process="p2", host="web-2", rows={ROW: sums(Sum(4, 7, 3))})

    assert (first.counted, again.counted, other.counted) == (True, True, True)
    found = read(world)
    assert found.rows == {ROW: sums(Sum(7, 12, 2))}
    assert found.since_ms == first.since_ms == other.since_ms
    assert [(p.name, p.host, p.held, p.state) for p in found.processes] == [
        ("p1", "web-1", 0, "runs"), ("p2", "web-2", 0, "runs"),
    ]  # fmt: skip
    seven_days_ms = 7 * 86_400_000
    assert seven_days_ms - 60_000 < world.client.pttl("vwo:1:shadow") <= seven_days_ms


def test_a_call_that_is_repeated_is_counted_once(world: World) -> None:
    """A process whose answer was lost sends the same call again."""
    told(world, rows={ROW: sums(Sum(3))})
    told(world, rows={ROW: sums(Sum(3))})

    assert read(world).rows == {ROW: sums(Sum(3))}


def test_after_a_reset_a_process_is_told_so(world: World) -> None:
    """Numbers since the last call are no use without those before: nothing is counted."""
    first = told(world, rows={ROW: sums(Sum(3))})
    assert forget_counts(Fleet(world.client, "vwo"))

    again = told(world, 2, since_ms=first.since_ms, rows={ROW: sums(Sum(1))})

    assert again == Answer(False, 0)
    assert read_shadow(Fleet(world.client, "vwo")) is None


def test_a_process_that_ends_is_only_counted(world: World) -> None:
    """Its line goes, unless its SDK held events: these are then gone."""
    since_ms = told(world, rows={ROW: sums(Sum(3))}).since_ms
    told(world, 2, since_ms=since_ms, state="ended")
    told(world, process="p2", held=5, state="ended")

    found = read(world)

    assert found.ended == 1
    assert [(p.name, p.held, p.state) for p in found.processes] == [("p2", 5, "ended")]


def test_rows_and_processes_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bounds, rows are one row, and processes one number; their counts are in the sums."""
    monkeypatch.setattr(shadows, "MOST_ROWS", 2)
    monkeypatch.setattr(shadows, "MOST_PROCESSES", 1)
    rows = {RowName("q", "e", str(i)): sums(Sum(1)) for i in range(5)}
    since_ms = told(world, rows=rows).since_ms
    told(world, process="p2", rows=rows)
    told(world, 2, process="p2", since_ms=since_ms, rows=rows)

    found = read(world)

    assert {name: one[0].events for name, one in found.rows.items()} == {
        RowName("q", "e", "0"): 3, RowName("q", "e", "1"): 3, OTHERS: 9,
    }  # fmt: skip
    assert ([p.name for p in found.processes], found.unlisted) == (["p1"], 1)


def test_what_cannot_be_read_is_skipped(world: World) -> None:
    """Fields of a later release, or of another program, hide nothing else."""
    told(world, rows={ROW: sums(Sum(3))})
    strange = {"row:?": "1 2 3", 'row:["a","b","c"]': "many", "process:x": "1", "new": "\u00e9"}
    world.client.hset("vwo:1:shadow", mapping=strange)

    found = read(world)

    assert found.rows == {ROW: sums(Sum(3))}
    assert [p.name for p in found.processes] == ["p1"]
