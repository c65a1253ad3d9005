"""restore.lua: make stranded batches ready again."""

from __future__ import annotations

from lua.world import NAMESPACE, RELEASED_UNIT, Line, World, expected_indexes, read_indexes
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.work.stranded import restore, suspicious

CURSORS = {"restore_cursor": 0, "births_cursor": 0, "released_cursor": 0}


def test_a_stranded_batch_is_ready_again(world: World) -> None:
    """A batch with a line that is neither ready nor leased nor dead becomes ready; others stay."""
    world.given(
        ready={"r": world.at(60_000)},
        leases={"l": world.at(60_000)},
        dead={"d": world.at(-9)},
        info={name: Line() for name in ("r", "l", "d", "stranded")},
        batches={name: [b"123456789"] for name in ("r", "l", "d", "stranded")},
    )

    restored = world.call(restore, world.shard)

    assert restored == 1
    repaired = {"repaired": 1, "repaired_ms": world.now()}
    assert world.changes() == {"ready": {"stranded": world.now()}, "meta": CURSORS | repaired}


def test_an_unreadable_line_is_restored_as_it_is(world: World) -> None:
    """A stranded batch whose line cannot be read becomes ready; its line stays as it is."""
    world.client.hset(world.shard.keys.info, "later", "v2:1")

    assert restore(world.shard) == 1

    assert world.client.hget(world.shard.keys.info, "later") == b"v2:1"
    assert world.client.zcard(world.shard.keys.ready) == 1


def test_a_large_shard_is_searched_part_by_part(world: World) -> None:
    """A call looks at a part of the lines; a few calls find every stranded batch, each once."""
    lines = {f"b{n}": Line() for n in range(3_000)}
    world.given(info=lines, ready={f"b{n}": n for n in range(0, 3_000, 2)})

    found = [restore(world.shard, 500) for _ in range(12)]

    assert max(found) < 1_500
    assert sum(found) == 1_500
    assert world.client.zcard(world.shard.keys.ready) == 3_000


def test_nothing_is_stranded(world: World) -> None:
    """A shard without stranded batches is left as it is."""
    world.given(leases={"l": world.at(60_000)}, info={"l": Line()})

    assert world.call(restore, world.shard) == 0

    assert world.changes() == {"meta": CURSORS}


def test_the_sets_of_a_look_are_put_right(world: World) -> None:
    """Entries that a release did not make are made; those of batches that are gone or dead go."""
    failed = Line(attempt=2, events=3, first=7, error="HTTP 503")
    world.given(
        ready={"failed": world.at(9_000), "new": world.at(0)},
        leases={"leased": world.at(9_000)},
        dead={"dead": world.at(0)},
        info={"failed": failed, "new": Line(first=8), "leased": failed, "dead": failed},
    )
    expected = read_indexes(world.shard)
    k = world.shard.keys
    world.client.delete(*k.indexes)
    world.client.zadd(k.births, {"gone": 1, "dead": 7, "new": 5})
    world.client.zadd(k.released, {"gone": RELEASED_UNIT + 9, "leased": RELEASED_UNIT + 3})
    world.client.hset(k.meta, "released_events", 12)

    restore(world.shard)

    assert read_indexes(world.shard) == expected == expected_indexes(world.shard)


def test_the_audit_notices_what_an_older_release_left_out(world: World) -> None:
    """A shard whose births are missing, or whose released batches are, is looked at by the patrol."""
    fleet = Fleet(world.client, NAMESPACE)
    world.given(
        ready={"b": world.at(60_000)},
        info={"b": Line(attempt=1, error="HTTP 503")},
        batches={"b": [b"123456789"]},
    )
    assert suspicious(fleet, [world.shard]) == []

    world.client.delete(world.shard.keys.births)
    without_births = suspicious(fleet, [world.shard])
    restore(world.shard)
    world.client.delete(world.shard.keys.released)
    without_released = suspicious(fleet, [world.shard])
    restore(world.shard)

    assert without_births == without_released == [world.shard]
    assert suspicious(fleet, [world.shard]) == []
