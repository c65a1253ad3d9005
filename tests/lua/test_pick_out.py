"""pick_out.lua: an operator takes single events out of a dead-lettered batch."""

from __future__ import annotations

from typing import Any

import pytest

from lua.world import Line, World
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.handling.picking import Picked, pick_out, ranges
from vwo_celery.queue.shard import PURGED
from vwo_celery.queue.words.batches import descends
from vwo_celery.queue.words.keys import as_text, new_token

META = {"accepted": 7, "events": 2, "bytes": 20, "dead": 5}
EVENTS = [b"first", b"2", b"third", b"4", b"fifth"]


def given_dead(world: World, meta: dict[str, int] = META, **line: Any) -> Line:
    """A dead letter of five events, which died at -100."""
    bytes_ = sum(len(event) + 1 for event in EVENTS)
    told = Line(
        attempt=4, lost=2, events=5, bytes=bytes_, first=world.at(-9_000), sealed=world.at(-8_000),
        error="VWO answered 413",
    )._replace(**line)  # fmt: skip
    world.given(meta=meta, dead={"b": world.at(-100)}, info={"b": told}, batches={"b": EVENTS})
    return told


def test_picked_events_are_sent_again_and_the_rest_stays_dead(world: World) -> None:
    """What is picked is ready with a new age and no error; the rest died when the whole did."""
    line = given_dead(world)

    done = world.call(pick_out, world.shard, "b", [4, 1, 2])

    assert (done.events, done.missing) == (3, 0)
    picked = line._replace(events=3, bytes=14, lost=0, sealed=world.now(), error="")
    assert world.changes() == {
        "dead": {"b": None, done.rest: world.at(-100)},
        "ready": {done.batch: world.now()},
        "info": {"b": None, done.batch: picked, done.rest: line._replace(events=2, bytes=8)},
        "batch:b": None,
        f"batch:{done.batch}": [b"2", b"third", b"fifth"],
        f"batch:{done.rest}": [b"first", b"4"],
        "meta": {"events": 5, "bytes": 34, "dead": 2},
        "tally": {"redriven": 3},
    }


def test_picked_events_are_dropped_and_counted(world: World) -> None:
    """What is picked to be dropped is counted in the ledger under its reason; the rest stays dead."""
    line = given_dead(world)

    done = world.call(pick_out, world.shard, "b", [0], drop=PURGED)

    assert done.events == 1
    assert world.changes() == {
        "dead": {"b": None, done.rest: world.at(-100)},
        "info": {"b": None, done.rest: line._replace(events=4, bytes=line.bytes - 6)},
        "batch:b": None,
        f"batch:{done.rest}": EVENTS[1:],
        "meta": {"dead": 4, "dropped:purged": 1},
    }


@pytest.mark.parametrize("drop", ["", PURGED])
def test_all_events_leave_no_rest(world: World, drop: str) -> None:
    """Where every event is picked, no empty batch stays behind."""
    given_dead(world, {"accepted": 5, "dead": 5})

    done = world.call(pick_out, world.shard, "b", range(5), drop=drop)

    assert done.events == 5
    assert not world.client.exists(world.shard.keys.dead)
    names = set(map(as_text, world.client.hkeys(world.shard.keys.info)))
    assert names == ({done.batch} if not drop else set())
    assert world.snapshot().balanced


def test_names_do_not_grow_with_each_pick(world: World) -> None:
    """Events are picked out one after the other, and the rest keeps a name that an import takes."""
    given_dead(world)
    names = ["b"]

    while picked := pick_out(world.shard, names[-1], [0]).rest if len(names) < 5 else "":
        names.append(picked)

    assert {len(name) for name in names[1:]} == {len("b+2") + len(new_token())}
    assert len({*names}) == 5
    assert all(descends(name, ["b"]) for name in names)  # a flush that waits for it knows them


@pytest.mark.parametrize("place", [0, 2_500, 4_999])
def test_one_event_of_five_thousand(world: World, place: int) -> None:
    """The rest of a large batch keeps its events and their order, wherever one was taken out."""
    events = [b"%04d" % n for n in range(5_000)]
    line = Line(attempt=1, events=5_000, bytes=25_000)
    world.given(
        meta={"accepted": 5_000, "dead": 5_000}, dead={"b": 1}, info={"b": line},
        batches={"b": events},
    )  # fmt: skip

    done = pick_out(world.shard, "b", [place])

    rest = world.client.lrange(world.shard.keys.batch(done.rest), 0, -1)[::-1]
    assert rest == events[:place] + events[place + 1 :]
    assert world.client.lrange(world.shard.keys.batch(done.batch), 0, -1) == [events[place]]
    assert world.snapshot().balanced


@pytest.mark.parametrize("state", ["ready", "leases"])
def test_what_is_not_dead_is_left_alone(world: World, state: str) -> None:
    """Events of a batch that is sent, or about to be, are not taken out of it."""
    world.given(
        meta=META, info={"b": Line(events=5)}, batches={"b": EVENTS},
        members={state: {"b": world.at(-1)}},
    )  # fmt: skip

    done = world.call(pick_out, world.shard, "b", [0])

    assert done.events == 0
    assert world.changes() == {}


def test_a_second_call_finds_nothing(world: World) -> None:
    """A repeat, as after a lost answer, takes no further event: the batch of that name is gone."""
    given_dead(world)
    pick_out(world.shard, "b", [0])

    again = world.call(pick_out, world.shard, "b", [0])

    assert again.events == 0
    assert world.changes() == {}


def test_a_batch_with_missing_events_is_left_as_it_is(world: World) -> None:
    """Where somebody deleted events, their numbers are not those that were shown: nothing changes."""
    given_dead(world)
    world.client.rpop(world.shard.keys.batch("b"), 2)

    done = world.call(pick_out, world.shard, "b", [0])

    assert done == Picked(0, 2, done.batch, done.rest)
    assert world.changes() == {}


def test_events_that_it_does_not_have_change_nothing(world: World) -> None:
    """A number beyond the last event is an error, and nothing has changed."""
    given_dead(world)

    with pytest.raises(QueueUnavailable, match="no such events"):
        world.call(pick_out, world.shard, "b", [4, 5])

    assert world.changes() == {}


def test_ranges() -> None:
    """Numbers in any order, and twice, make up ascending ranges."""
    assert ranges([7, 1, 2, 3, 7, 9, 8]) == [(1, 4), (7, 10)]
    assert ranges([]) == []
