"""sample.lua: a queue's history is its counters, once a minute, ten minutes and hour."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import redis as redis_py
from msgspec.structs import replace
from redis.exceptions import ResponseError

from lua.clock import KEY, Clock, own_clock
from lua.world import QUEUE, Line, World, room_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.histories import PERIODS, Sample, read_samples, sample
from vwo_celery.queue.words.buckets import AGE_BOUNDS_SECONDS

pytestmark = pytest.mark.declared_keys(KEY, "open", "ready", "info", "births")
MINUTE_MS = 60_000
NO_AGES = (0,) * (len(AGE_BOUNDS_SECONDS) + 1)
#: Most bytes that the full history of one queue may take, and one queue's bytes as measured below.
MOST_BYTES = 400 * 1024
#: Counters that grow in the simulated 90 days, and by how much at most in a minute.
GROWTH = {"accepted": 6_000, "delivered": 6_000, "dropped:purged": 1, "refused": 1}


@pytest.fixture
def clock(redis: redis_py.Redis) -> Iterator[Clock]:
    """The scripts' clock, which only a test moves, at the beginning of an hour."""
    with own_clock(redis) as clock:
        clock.move(3_600_000 - clock.ms % 3_600_000)
        yield clock


@pytest.fixture
def world(redis: redis_py.Redis, clock: Clock) -> World:
    """A shard in a database whose scripts go by *clock*."""
    return World(redis)


def samples_of(world: World, period: int = 0) -> list[Sample]:
    """All samples of one kind."""
    (found,) = read_samples(Fleet(world.client, "vwo"), [world.shard], PERIODS[period], 0)
    return found


def take(world: World, *, full: bool = True) -> None:
    """Take a sample."""
    sample(Fleet(world.client, "vwo"), [world.shard], full=full)


def test_a_sample_is_the_counters_as_they_stand(world: World, clock: Clock) -> None:
    """Counters, with what append.lua stored since, the oldest event's age, and whether it is sent."""
    world.given(
        meta={
            "accepted": 20, "delivered": 7, "dead": 2, "dropped:purged": 3, "dropped:vanished": 1,
            "refused": 4, "events": 7, "bytes": 70, "first_ms": clock.ms - 5_000, "paused": "by me",
            **room_of(9, 90, accepted=20, taken=(3, 30)),
        },
        open=[b"1", b"2", b"3"],
        ready={"b": clock.ms},
        info={"b": Line(first=clock.ms - 8_000)},
    )  # fmt: skip

    world.client.hset(
        world.shard.keys.tally,
        mapping={
            "answer:200": 7, "answer:503": 4, "answer:timeout": 1, "age:0": 5, "age:14": 2,
            "age_ms": 9, "spooled": 3, "recent:spooled": 3, "post:0": 11,
        },
    )  # fmt: skip

    take(world)

    expected = Sample(
        clock.ms, accepted=23, delivered=7, dead=2, dropped=4, refused=4, undelivered=10, bytes=100,
        oldest_ms=8_000, stopped=1, tries=12, failed=5,
    )  # fmt: skip
    by_minute = replace(expected, ages=(5, *NO_AGES[2:], 2))
    assert [samples_of(world, period) for period in range(3)] == [
        [by_minute], [expected], [expected],
    ]  # fmt: skip


def test_an_empty_queue_has_no_oldest_event(world: World, clock: Clock) -> None:
    """The time of a first event that has left counts no more."""
    world.given(meta={"first_ms": clock.ms - 5_000, "accepted": 1, "delivered": 1})

    take(world)

    assert samples_of(world) == [Sample(clock.ms, accepted=1, delivered=1, ages=NO_AGES)]


def test_a_tally_that_is_none_costs_no_sample(world: World, clock: Clock) -> None:
    """What another program made of the tally costs its own numbers alone."""
    world.given(meta={"accepted": 1})
    world.client.set(world.shard.keys.tally, "not a hash")

    take(world)

    assert [each.accepted for each in samples_of(world)] == [1]


@pytest.mark.parametrize("meta", [{}, {"first_ms": 1}], ids=["never one", "one long ago"])
def test_an_event_of_another_program_is_new_until_the_sweep_sees_it(
    world: World, clock: Clock, meta: dict[str, int]
) -> None:
    """The time of a first event that has left is not that of what another program pushed since."""
    world.given(meta=meta, open=[b"foreign"])

    take(world)

    assert samples_of(world)[0].oldest_ms == 0


def test_each_period_has_one_sample(world: World, clock: Clock) -> None:
    """Any number of sweepers may sample: Redis keeps the first of each minute and ten minutes."""
    start = clock.ms
    world.given()

    for _ in range(25):
        take(world)
        clock.move(30_000)
        take(world)
        clock.move(30_000)

    assert [each.at_ms for each in samples_of(world)] == [start + n * MINUTE_MS for n in range(25)]
    assert [each.at_ms - start for each in samples_of(world, 1)] == [0, 600_000, 1_200_000]
    assert [each.at_ms - start for each in samples_of(world, 2)] == [0]


def test_a_short_history_has_minutes_only(world: World) -> None:
    """Where only the short history is kept, nothing is written for longer."""
    world.given()

    take(world, full=False)

    assert [len(samples_of(world, period)) for period in range(3)] == [1, 0, 0]


def test_after_a_step_back_of_the_clock_samples_go_on(world: World, clock: Clock) -> None:
    """While Redis' clock is behind the last sample nothing is written, and nothing fails."""
    world.given()
    take(world)
    start = clock.ms

    for step in (-3_600_000, MINUTE_MS, 3_540_000, MINUTE_MS):
        clock.move(step)
        take(world)

    assert [each.at_ms for each in samples_of(world)] == [start, start + MINUTE_MS]


def test_a_broken_history_harms_no_other(world: World) -> None:
    """A key of another type costs that shard its samples; the others have theirs."""
    world.given()
    fleet = Fleet(world.client, "vwo")
    broken, well = fleet.shard("fme-2-broken", 0), world.shard
    world.client.set(broken.keys.minutes, "not a stream")

    sample(fleet, [broken, well])

    found = read_samples(fleet, [broken, well], PERIODS[0], 0)
    assert [len(each) for each in found] == [0, 1]
    with pytest.raises(ResponseError):
        world.client.xlen(broken.keys.minutes)


def test_ninety_days_stay_small(world: World, clock: Clock) -> None:
    """The streams keep 8 hours, 7 days and 90 days, in at most 400 KiB a queue."""
    chance = random.Random(90)
    world.given(meta=dict.fromkeys(GROWTH, 10**9))
    ages = {f"age:{bucket}": 10**6 for bucket in range(len(AGE_BOUNDS_SECONDS) + 1)}
    world.client.hset(world.shard.keys.tally, mapping=ages)
    for period in reversed(PERIODS):
        minutes = period.period_ms // MINUTE_MS
        pipe = world.client.pipeline(transaction=False)
        for _ in range(period.most + 5):
            for field, most in GROWTH.items():
                pipe.hincrby(world.shard.keys.meta, field, chance.randint(0, most * minutes))
            for bucket in range(len(AGE_BOUNDS_SECONDS) + 1):
                pipe.hincrby(
                    world.shard.keys.tally, f"age:{bucket}", chance.randint(0, 60 * minutes)
                )
            for answer in ("200", "503"):
                pipe.hincrby(world.shard.keys.tally, f"answer:{answer}", chance.randint(0, 900))
            pipe.hset(world.shard.keys.meta, "events", chance.randint(0, 50_000))
            pipe.execute()
            take(world)
            clock.move(period.period_ms)

    keys = [getattr(world.shard.keys, period.key) for period in PERIODS]
    taken = [world.client.memory_usage(key, samples=0) for key in keys]
    print(f"history of queue {QUEUE} after 90 days: {sum(taken) / 1024:.0f} KiB, {taken}")
    assert [world.client.xlen(key) for key in keys] == [period.most for period in PERIODS]
    assert sum(taken) <= MOST_BYTES
    assert all(world.client.pttl(key) > 0 for key in keys)
