"""A plan foretells the requests that the scripts then make of the same events."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
import redis as redis_py
from msgspec.structs import replace

from lua.clock import KEY, Clock, own_clock
from lua.world import LIFE, LIMITS, World
from vwo_celery.operating.past.planning import Choice, Plan, plan
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.histories import PERIODS, read_samples, sample
from vwo_celery.queue.words.answers import STORED
from vwo_celery.queue.words.batches import Limits
from vwo_celery.queue.words.marks import Mark

pytestmark = pytest.mark.declared_keys(KEY, "open", "ready", "info", "batch", "slots", "births")
MINUTE_MS = 60_000
EVENT = b"123456789"
#: Events in each of the minutes that are replayed: quiet ones, and a rush.
RATES = (20, 20, 45, 120, 240, 240, 90, 30, 12, 0, 0, 15)
SEED = 6
#: The options in force while the history is made, whose ages the plan is to keep.
NOW = replace(
    LIMITS, events_per_request=10, interval_ms=30_000, batch_bytes=10_000, capacity_events=10**6,
    capacity_bytes=10**9, parallel=1_000,
)  # fmt: skip
#: Share by which foretold and counted requests may differ.
NEAR = 0.05


@pytest.fixture
def clock(redis: redis_py.Redis) -> Iterator[Clock]:
    """The scripts' clock, which only this test moves, at the beginning of a minute."""
    with own_clock(redis) as clock:
        clock.move(MINUTE_MS - clock.ms % MINUTE_MS)
        yield clock


def arrivals(start_ms: int) -> list[int]:
    """The time of each event: in its minute at random, as visitors come."""
    chance = random.Random(SEED)
    return [
        start_ms + minute * MINUTE_MS + chance.randrange(MINUTE_MS)
        for minute, rate in enumerate(RATES)
        for _ in range(rate)
    ]


def replay(world: World, clock: Clock, limits: Limits) -> int:
    """Push every event at its time and sweep whenever a batch is due; the number of batches made."""
    world.client.flushall()
    clock.move(MINUTE_MS)
    start = clock.ms
    world.given(limits=limits)
    fleet, end = Fleet(world.client, "vwo"), start + len(RATES) * MINUTE_MS
    pushes = [(at, True) for at in arrivals(start)]
    minutes = [(start + n * MINUTE_MS, False) for n in range(len(RATES) + 1)]
    stored = 0
    for at, is_push in sorted([*pushes, *minutes]):
        sweep_until(world, clock, at, limits)
        if is_push:
            stored += 1
            mark = Mark("m", stored, events=1, life=LIFE)
            pushed = world.shard.push(world.shard.push_command(mark, [EVENT], 2))
            assert pushed.code == STORED
        else:
            sample(fleet, [world.shard], full=False)
    sweep_until(world, clock, end + limits.interval_ms, limits)
    assert world.client.llen(world.shard.keys.open) == 0
    return int(world.client.zcard(world.shard.keys.ready))


def sweep_until(world: World, clock: Clock, at_ms: int, limits: Limits) -> None:
    """Move the clock to a time, and sweep on the way at the moment at which the open list is due."""
    if world.client.llen(world.shard.keys.open):
        due = int(world.client.hget(world.shard.keys.meta, "first_ms")) + limits.interval_ms
        if due <= at_ms:
            clock.move(due - clock.ms)
            world.shard.sweep(force=False, idle_ms=10**9)
    clock.move(at_ms - clock.ms)


def planned(world: World) -> Plan:
    """The plan of what is in the history."""
    samples = read_samples(Fleet(world.client, "vwo"), [world.shard], PERIODS[0], 0)
    return plan("q", samples, NOW)


def with_options(choice: Choice) -> Limits:
    """The limits in force, with another choice of both options."""
    return replace(
        NOW,
        events_per_request=choice.events_per_request,
        interval_ms=int(choice.request_time_interval * 1000),
    )


def wanted(choices: Sequence[Choice], events: int, interval: float) -> Choice:
    """One of the choices."""
    (found,) = [
        c for c in choices if (c.events_per_request, c.request_time_interval) == (events, interval)
    ]
    return found


def test_a_plan_foretells_the_requests(redis: redis_py.Redis, clock: Clock) -> None:
    """For the choice in force, the recommended one and others, requests are right to one in twenty."""
    world = World(redis)
    counted_now = replay(world, clock, NOW)
    found = planned(world)

    assert found.recommended is not None
    assert found.current is not None
    assert found.recommended.requests_an_hour <= found.current.requests_an_hour
    others = [wanted(found.choices, *each) for each in ((50, 60.0), (100, 10.0))]
    counted = [counted_now]
    for choice in (found.recommended, *others):
        counted.append(replay(world, clock, with_options(choice)))

    hours = found.seconds / 3600
    foretold = [c.requests_an_hour * hours for c in (found.current, found.recommended, *others)]
    assert counted == pytest.approx(foretold, rel=NEAR), found.recommended
