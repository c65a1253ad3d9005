"""decline.lua: workers that leave a queue to others, until their notes expire."""

from __future__ import annotations

from lua.world import NAMESPACE, QUEUE, World
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.declines import (
    NOTE_SECONDS,
    Decline,
    declines_of,
    note_decline,
    withdraw_decline,
)

NOTE_MS = round(1000 * NOTE_SECONDS)


def fleet_of(world: World) -> Fleet:
    """The fleet of the world's queue."""
    return Fleet(world.client, NAMESPACE)


def decline(world: World, worker: str, why: str = "may not") -> list[str]:
    """Call decline.lua."""
    return world.call(note_decline, fleet_of(world), QUEUE, worker, why)


def test_a_note_says_since_when_and_why(world: World) -> None:
    """The first note of a worker begins now and expires; the queue is listed for operators."""
    names = decline(world, "a:1", "no: it may not")

    listed = f"{NAMESPACE}:1:declined_queues"
    note = world.changes()["declined"]["a:1"]
    since, until, why = note.split(":", 2)
    assert names == ["a:1"]
    assert (int(since), int(until)) == (world.now(), world.now(NOTE_MS))
    assert why == "no: it may not"
    assert 0 < world.client.pttl(world.shard.keys.declined) <= NOTE_MS
    assert world.changes().keys() == {"declined", listed}
    assert world.client.zscore(listed, QUEUE) >= int(until) - 1000


def test_a_repeated_note_keeps_its_beginning(world: World) -> None:
    """A worker that declines a queue again has done so since its first note."""
    since = world.at(-60_000)
    world.client.hset(world.shard.keys.declined, "a:1", f"{since}:{world.at(9_000)}:once")

    decline(world, "a:1", "twice")

    note = world.changes()["declined"]["a:1"]
    assert note.startswith(f"{since}:")
    assert note.endswith(":twice")


def test_notes_of_all_workers_are_told_while_they_count(world: World) -> None:
    """The answer names each worker whose note counts; notes that do not, or are garbage, are dropped."""
    notes = {
        "b:2": f"{world.at(-9)}:{world.at(9_000)}:why",
        "gone:3": f"{world.at(-9_000)}:{world.at(-1)}:why",
        "garbage": "?",
    }
    world.client.hset(world.shard.keys.declined, mapping=notes)

    names = decline(world, "a:1")

    assert sorted(names) == ["a:1", "b:2"]
    assert world.dump()["declined"].keys() == {"a:1", "b:2"}


def test_operators_see_the_notes_of_workers_that_listen(world: World) -> None:
    """A note of a worker that is gone, or was withdrawn, is not shown."""
    fleet = fleet_of(world)
    for worker in ("a:1", "b:2", "gone:3"):
        note_decline(fleet, QUEUE, worker, "why")
    withdraw_decline(fleet, QUEUE, "b:2")

    found = declines_of(fleet, ["a:1", "b:2"])

    ((queue, (shown,)),) = found.items()
    assert (queue, shown.worker, shown.why) == (QUEUE, "a:1", "why")
    assert isinstance(shown, Decline)
    assert declines_of(fleet, []) == {}
