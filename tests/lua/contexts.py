"""What the tests of trace contexts share: pushes of traced calls, and what Redis keeps of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from lua.world import LIMITS, World
from vwo_celery.queue.words.marks import Mark
from vwo_celery.tracing.carried import Span, Traced, as_argument, read_contexts

MANY = replace(LIMITS, events_per_request=500, batch_bytes=10_000, capacity_events=900)
DAY_MS = 86_400_000


def context(number: int) -> str:
    """A context, told from others by its number."""
    return f"00-{number:032x}-{number:016x}-01"


def push(world: World, at: Mark, *events: bytes, spans: Sequence[Span] = ()) -> Any:
    """Push events of some traced calls; of one for each event by default, named by its text."""
    given = spans or [Span(i, i + 1, context(int(each))) for i, each in enumerate(events)]
    command = world.shard.push_command(
        at, events, len(events) + 1, contexts=as_argument(Traced(events, given))
    )
    return world.call(world.shard.push, command)


def kept(world: World) -> dict[tuple[bytes, ...], tuple[list[int], int]]:
    """By its events, the contexts that each batch is linked to, and how many there were."""
    found = {}
    for name in world.client.hkeys(world.shard.keys.info):
        events = tuple(world.client.lrange(world.shard.keys.batch(name.decode()), 0, -1)[::-1])
        contexts, seen = read_contexts(world.shard.contexts_of(name.decode()))
        found[events] = ([int(each[3:35], 16) for each in contexts], seen)
    return found


def left(world: World) -> list[str]:
    """The keys of contexts that are there."""
    return [key.removeprefix(world.shard.keys.prefix)
            for key in world.shard.keys.contexts if world.client.exists(key)]  # fmt: skip
