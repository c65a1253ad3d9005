"""restore.lua: make stranded batches ready again."""

from __future__ import annotations

from lua.world import Line, World
from vwo_celery.queue.work.stranded import restore


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
    assert world.changes() == {"ready": {"stranded": world.now()}, "meta": {"restore_cursor": 0}}


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

    assert world.changes() == {"meta": {"restore_cursor": 0}}
