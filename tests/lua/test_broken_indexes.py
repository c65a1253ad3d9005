"""births and released in the hands of another program: they only serve looks, and stop nothing."""

from __future__ import annotations

import pytest

from lua.pushing import mark
from lua.splitting import part
from lua.world import IDLE_MS, LEASE_SECONDS, World, expected_indexes, read_indexes
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.work.stranded import restore

EVENTS = [b"%09d" % n for n in range(12)]


def break_indexes(world: World) -> None:
    """Make both sets something else, as somebody's SET does."""
    for key in world.shard.keys.indexes:
        world.client.set(key, "mine")


def claimed(world: World) -> Batch:
    """The next batch, leased."""
    batch = world.shard.claim(token="", lease_seconds=LEASE_SECONDS)
    assert isinstance(batch, Batch)
    return batch


def live(world: World) -> int:
    """Let every script meet the sets that changes a batch's state; the number of events delivered."""
    shard = world.shard
    assert shard.release(claimed(world), delay_seconds=0, error="HTTP 503")
    held = claimed(world)
    assert shard.hand_back(held, lease_until_ms=held.lease_until_ms)
    first = claimed(world)
    assert shard.dead_letter(first, error="HTTP 400")
    assert shard.redrive(first.id) == first.events
    second = claimed(world)
    parts = (part("ready", (1, 2), delay_seconds=0.001, error="HTTP 503"), part("dead", (2, 3)))
    assert shard.split(second, parts, delivered=1)
    assert shard.set_aside(claimed(world).id, reason="malformed") == 0  # in flight
    third = claimed(world)
    assert shard.ack(third.id)
    return 1 + third.events


@pytest.mark.parametrize("sealed_by", ["push", "sweep"])
def test_no_event_is_lost_and_the_ledger_stays_exact(world: World, sealed_by: str) -> None:
    """A whole life beside broken sets is as without them; once they are gone they are put right."""
    world.given(meta={"watched": 1})
    break_indexes(world)
    if sealed_by == "push":
        world.shard.push(world.shard.push_command(mark(len(EVENTS)), EVENTS, len(EVENTS) + 1))
    else:
        for text in EVENTS:
            world.client.lpush(world.shard.keys.open, text)
        world.shard.sweep(force=True, idle_ms=IDLE_MS, lost_until_ms=0)

    delivered = live(world)

    assert restore(world.shard) == 0
    world.client.delete(*world.shard.keys.indexes)
    restore(world.shard)
    found = world.snapshot()
    assert (found.accepted, found.delivered, found.dropped) == (len(EVENTS), delivered, {})
    assert found.balanced
    assert read_indexes(world.shard) == expected_indexes(world.shard)
