"""flush.lua and awaited.lua: what a flush waits for, and whether any of it is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lua.world import LIMITS, Line, World
from vwo_celery.queue.work.awaiting import Awaited
from vwo_celery.queue.work.settlements import begin, first_awaited

EVERY_STATE = {
    "ready": {"a": -9, "released": 60_000},
    "leases": {"b": 60_000, "expired": -1},
    "dead": {"c": -1},
}


def given(world: World, *, sealed: int = -5, **members: dict[str, int]) -> None:
    """Batches of one event of ten bytes in some states, and three open events."""
    names = [name for those in members.values() for name in those]
    undelivered = len(names) - len(members.get("dead", {}))
    world.given(
        limits=LIMITS,
        meta={
            "accepted": 3 + len(names), "events": 3 + undelivered, "bytes": 30 + 10 * undelivered,
            "dead": len(names) - undelivered, "open_events": 3, "open_bytes": 30, "delivered": 7,
        },
        open=[b"1", b"2", b"3"],
        info={name: Line(attempt=1, sealed=world.at(sealed)) for name in names},
        batches={name: [b"123456789"] for name in names},
        members={
            state: {name: world.at(at) for name, at in those.items()}
            for state, those in members.items()
        },
    )  # fmt: skip


def test_a_flush_begins_with_what_is_sealed_and_not_settled(world: World) -> None:
    """Ready, released and leased events count; open ones, which are newer, and dead ones do not."""
    given(world, **EVERY_STATE)

    start = world.call(begin, world.shard)

    assert (start.events, start.delivered) == (4, 7)
    assert start.now_ms == world.now()
    assert world.changes() == {"meta": {"flush_until": start.now_ms + 30_000}}


def test_counters_of_batches_that_are_not_there_await_nothing(world: World) -> None:
    """Where no batch waits, no counter makes a flush wait."""
    given(world)
    world.client.hset(world.shard.keys.meta, "events", 9)

    assert begin(world.shard).events == 0


@pytest.mark.parametrize("state", ["ready", "leases"])
def test_of_its_own_millisecond_a_flush_knows_its_batches(world: World, state: str) -> None:
    """A batch sealed in the millisecond in which the flush began is awaited if it was there then."""
    moment = 60_000  # later than now: the clock never gets there
    given(world, sealed=moment, **{state: {"twin": 90_000}})
    twins = {"twin"}

    found = [
        first_awaited(world.shard, world.at(moment), among, "") for among in (twins, {"another"})
    ]

    assert found == ["twin", ""]


def test_a_part_of_a_twin_is_awaited(world: World) -> None:
    """What becomes of a batch by splits, at any depth, is awaited like the batch."""
    given(world, sealed=60_000, ready={"twin+1ab+2": 90_000, "twins": 90_000})

    assert first_awaited(world.shard, world.at(60_000), {"twin"}, "") == "twin+1ab+2"


@pytest.mark.parametrize(
    ("members", "sealed", "found"),
    [
        ({"ready": {"a": -9}}, -5, "a"),
        ({"ready": {"a": 60_000}}, -5, "a"),
        ({"leases": {"a": 60_000}}, -5, "a"),
        ({"dead": {"a": -9}}, -5, ""),
        ({"ready": {"newer": -9}, "leases": {"too": 9_000}}, 5, ""),
    ],
    ids=["ready", "released", "in flight", "dead", "newer"],
)
@pytest.mark.parametrize("known", ["", "a", "gone"])
def test_a_search_finds_what_is_left(
    world: World, members: dict[str, dict[str, int]], sealed: int, found: str, known: str
) -> None:
    """A batch sealed before the flush is found in any state but dead, whichever was found before."""
    given(world, sealed=sealed, **members)

    assert first_awaited(world.shard, world.at(0), (), known) == found


def test_a_search_goes_through_newer_batches_by_pages(world: World) -> None:
    """The one batch that is left is found behind very many that are newer."""
    k = world.shard.keys
    newer = {f"n{i}": f"0:0:1:10:0:{world.at(5)}:" for i in range(1_200)}
    world.given()
    world.client.hset(k.info, mapping={**newer, "left": f"1:0:1:10:0:{world.at(-5)}:503"})
    world.client.zadd(k.ready, {**dict.fromkeys(newer, world.at(5)), "left": world.at(60_000)})

    assert first_awaited(world.shard, world.at(0), (), "") == "left"
    world.client.hdel(k.info, "left")
    assert first_awaited(world.shard, world.at(0), (), "left") == ""


def test_a_batch_of_a_later_release_is_awaited(world: World) -> None:
    """A line that cannot be read may be of any age: nobody claims that nothing is left."""
    given(world, ready={"a": 9})
    world.client.hset(world.shard.keys.info, "a", "of another shape")

    assert first_awaited(world.shard, world.at(0), (), "") == "a"


# -- what an `Awaited` makes of it

Change = Callable[[World], object]


def die(world: World) -> bool:
    """The batch in flight dies."""
    return world.shard.dead_letter(world.batch("b"), error="too old")


def redrive_and_ack(world: World) -> None:
    """It dies, is redriven, and is delivered."""
    die(world)
    assert world.shard.redrive("b") == 1
    assert world.shard.ack("b")


def redrive_another(world: World) -> None:
    """A batch that was dead before the flush is redriven and delivered."""
    assert world.shard.redrive("c") == 1
    assert world.shard.ack("c")


def purge_another(world: World) -> None:
    """A batch that was dead before the flush is purged."""
    assert world.shard.purge("c") == 1


def die_without_note(world: World) -> None:
    """A worker of an older release dead-letters it."""
    world.client.hdel(world.shard.keys.meta, "flush_until")
    die(world)


def ack_newer_without_note(world: World) -> None:
    """A newer batch is delivered by a worker of an older release."""
    world.sweep(force=True)
    world.client.hdel(world.shard.keys.meta, "flush_until")
    (newer,) = [b for b in world.snapshot().batches if b.events == 3]
    assert world.shard.ack(newer.id)


def ack_newer_and_lose(world: World) -> None:
    """A newer batch is delivered without a note, and those that are awaited are lost."""
    ack_newer_without_note(world)
    k = world.shard.keys
    world.client.delete(k.ready, k.leases)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda world: world.shard.ack("b"), (1, 0, 0, 1, 0)),
        (die, (0, 1, 0, 1, 0)),
        (lambda world: (die(world), world.shard.purge("b")), (0, 0, 1, 1, 0)),
        (redrive_and_ack, (0, 1, 0, 1, 0)),
        (redrive_another, (0, 0, 0, 2, 0)),
        (purge_another, (0, 0, 0, 2, 0)),
        (die_without_note, (0, 1, 0, 1, 0)),
        (ack_newer_without_note, (0, 0, 0, 2, 0)),
        (ack_newer_and_lose, (2, 0, 0, 0, 0)),
        (lambda world: world.client.delete(world.shard.keys.meta), (0, 0, 0, 0, 2)),
        (lambda world: world.client.delete(world.shard.keys.info), (0, 0, 0, 0, 2)),
    ],
    ids=[
        "acked", "dead", "dead and purged", "dead and redriven", "another redriven",
        "another purged", "dead without note", "newer acked without note", "counted as newer ones",
        "lost", "lines lost",
    ],
)  # fmt: skip
def test_each_event_counts_once_by_its_fate(
    world: World, change: Change, expected: tuple[int, ...]
) -> None:
    """Of two batches that a flush awaits, the numbers delivered, dead, dropped, pending and lost."""
    given(world, ready={"a": -9}, leases={"b": 60_000}, dead={"c": -1})
    awaited = Awaited(world.shard)

    change(world)
    for _ in range(2):  # that nothing is left must be seen twice
        awaited.look(search=True)

    assert expected == (
        awaited.delivered, awaited.dead, awaited.dropped.total(), awaited.pending, awaited.lost,
    )  # fmt: skip


def test_deliveries_by_an_older_release_are_never_all_of_them_too_early(world: World) -> None:
    """While one awaited batch is left, as many deliveries of newer ones do not pass for its own."""
    given(world, ready={"a": -9}, leases={"b": 60_000})
    awaited = Awaited(world.shard)

    ack_newer_without_note(world)
    for _ in range(3):
        awaited.look(search=True)
    before = awaited.pending
    for name in ("a", "b"):
        world.client.hdel(world.shard.keys.meta, "flush_until")
        world.shard.ack(name)
    awaited.look()

    assert before == 2
    assert (awaited.delivered, awaited.pending, awaited.lost) == (2, 0, 0)
