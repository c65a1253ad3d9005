"""A queue whose producers have different numbers of shards: what any shard holds stays visible."""

from __future__ import annotations

import msgspec
import pytest
import redis as redis_py
from msgspec.structs import replace

import vwo_celery
from tools.producers import stored
from tools.queue_states import HOLDS_SOMETHING, OPERATOR, Queues, everything, find_dead
from vwo_celery.operating import operations
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.capacity import DEAD_LETTERS_FULL, trim_dead
from vwo_celery.queue.looks.snapshots import take_snapshots
from vwo_celery.queue.words.registration import MOST_SHARDS
from vwo_celery.queue.work import sweeping
from vwo_celery.spool.drain import seal
from vwo_celery.spool.pages import Page, Sent

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


def lower(queues: Queues) -> vwo_celery.Queue:
    """The same queue as the next deployment has it, in one shard."""
    return queues.add(shards=1)


def filled(queues: Queues, events: int = 10) -> vwo_celery.Queue:
    """A queue in four shards, each of which holds *events* events in one batch."""
    queue = queues.add(shards=4, events_per_request=100)
    producer = producer_of(queue)
    every = producer.shards
    for shard in every:
        producer.shards = [shard]
        queues.fill(queue, events)
    producer.shards = every
    for shard in every:
        sweeping.sweep_shard(shard, force=True)
    return queue


def forget_watched(queues: Queues) -> None:
    """Forget which shards are watched, as after long idleness."""
    queues.client.delete(queues.fleet.keys.watched)


def test_dead_letters_of_all_shards_stay_in_sight(queues: Queues) -> None:
    """Dead letters of shards beyond a lowered number are listed, counted, and can be redriven."""
    queue = filled(queues)
    for number in range(4):
        batch = queues.claim(queue, number)
        assert queues.shard(queue, number).dead_letter(batch, error="too old")
    forget_watched(queues)

    lowered = lower(queues)

    dead = find_dead(queues.fleet, queues.registered)
    assert sum(each.events for each in dead) == 40
    view = queues.view(lowered)
    assert (view.ledger.accepted, view.ledger.dead, view.ledger.balanced) == (40, 40, True)
    done = operations.redrive(queues.fleet, OPERATOR, dead, everything(dead))
    assert done.changed.events == 40


def test_counters_of_all_shards_stay_in_the_ledger(queues: Queues) -> None:
    """What shards beyond a lowered number delivered stays in the ledger, though they are empty."""
    queue = filled(queues)
    for number in range(4):
        assert queues.shard(queue, number).ack(queues.claim(queue, number).id)
    forget_watched(queues)

    view = queues.view(lower(queues))

    assert (view.ledger.accepted, view.ledger.delivered, view.ledger.balanced) == (40, 40, True)


@pytest.mark.parametrize("number", [1, 3])
def test_pushes_onto_any_shard_are_found(queues: Queues, number: int) -> None:
    """What another program pushes onto a shard beyond a lowered number is found and sealed."""
    queue = queues.add(shards=4)
    lower(queues)
    forget_watched(queues)
    shard = queues.shard(queue, number)
    queues.client.lpush(shard.keys.open, *[b'{"d":{}}'] * 5)

    wakeups = sweeping.sweep(queues.fleet, by="listener")

    assert [(wakeup.queue, wakeup.shard) for wakeup in wakeups] == [(queue.name, number)]
    assert queues.claim(queue, number).events == 5


def test_a_flush_covers_all_shards(queues: Queues) -> None:
    """A flush by a process with fewer shards waits for what the others hold, and says so."""
    filled(queues)

    result = lower(queues).flush_events(timeout_seconds=0)

    assert not result
    assert (result.delivered, result.failed, result.pending) == (0, 0, 40)


def test_a_higher_number_counts_at_once(queues: Queues) -> None:
    """A raised number holds for every reader, and for a producer that still has the lower one."""
    few = lower(queues)
    queues.add(shards=4)
    assert producer_of(few).register()

    assert queues.registered[few.name].shards == 4
    assert queues.fleet.registration(few.name).shards == 4
    assert queues.fleet.some_registrations(10)[few.name].shards == 4
    assert len(queues.view(few).shards) == 4
    assert [shard.number for shard in producer_of(few).shards] == [0]


def test_a_release_that_does_not_keep_the_number_lowers_nothing(queues: Queues) -> None:
    """Producers of release 0.1.0 replace the registration only, with any number, in any order."""
    queue = queues.add(shards=1)
    registration = producer_of(queue).registration

    def register_as_0_1_0(shards: int) -> None:
        text = msgspec.json.encode(replace(registration, shards=shards))
        queues.client.hset(queues.fleet.keys.queues, queue.name, text)

    register_as_0_1_0(6)
    assert queues.fleet.registration(queue.name).shards == 6
    assert producer_of(queue).register()
    register_as_0_1_0(2)
    assert queues.fleet.registration(queue.name).shards == 6


def test_shards_of_a_release_that_did_not_keep_the_number_are_found(queues: Queues) -> None:
    """The first registration finds the shards that an older release had, by their counters."""
    queue = filled(queues)
    forget_watched(queues)
    queues.client.delete(queues.fleet.keys.shards)
    queues.client.hdel(queues.fleet.keys.queues, queue.name)

    view = queues.view(lower(queues))

    assert view.shards == (0, 1, 2, 3)
    assert view.ledger.accepted == 40


@pytest.mark.parametrize("garbage", [b"1000000000", b"-3", b"", b"many", b"\xff", b"2.5"])
def test_garbage_for_the_number_is_bounded(queues: Queues, garbage: bytes) -> None:
    """Whatever stands in Redis for the number, readers look at a bounded number of shards."""
    queue = queues.add(shards=2)
    queues.client.hset(queues.fleet.keys.shards, queue.name, garbage)

    assert 2 <= queues.fleet.registration(queue.name).shards <= MOST_SHARDS
    assert producer_of(queue).register()
    assert 2 <= queues.fleet.registration(queue.name).shards <= MOST_SHARDS


def test_shards_beyond_a_lowered_number_send_one_batch_at_a_time(queues: Queues) -> None:
    """The new limits hold in all shards; those that only drain have one parallel send each."""
    queue = queues.add(shards=4, request_time_interval=600)
    lowered = queues.add(shards=1, request_time_interval=30)

    limits = [snapshot.limits for snapshot in take_snapshots(producer_of(queue).shards)]

    assert [each and each.interval_ms for each in limits] == [30_000] * 4
    assert [each and each.parallel for each in limits] == [
        lowered.settings.max_parallel_sends,
        1,
        1,
        1,
    ]


def test_a_full_shard_is_not_hidden_by_empty_ones(queues: Queues) -> None:
    """A queue is as full as its fullest shard: those beyond a lowered number take no more events."""
    queues.add(shards=4)
    lowered = lower(queues)
    queues.fill(lowered, 8)
    limits = {"capacity_events": 10}
    queues.client.hset(queues.shard(lowered).keys.meta, mapping=limits)

    assert queues.view(lowered).fullness == 0.8


def test_the_bound_of_dead_letters_is_the_queues(queues: Queues) -> None:
    """max_dead_events bounds a queue's dead letters in whichever shards they are; the oldest go."""
    queue = filled(queues)
    shards = [queues.shard(queue, number) for number in range(4)]
    for number in (2, 0):
        batch = queues.claim(queue, number)
        assert shards[number].dead_letter(batch, error="too old")
        queues.client.zadd(shards[number].keys.dead, {batch.id: 1000 - number})

    assert trim_dead(shards, 20) == 0
    assert trim_dead(shards, 19) == 10

    view = queues.view(queue)
    assert (view.dead, view.dropped) == (10, {DEAD_LETTERS_FULL: 10})
    assert not queues.client.exists(shards[2].keys.dead)
    assert view.ledger.balanced


def test_all_shards_publish_their_results(queues: Queues) -> None:
    """An application that listens for results hears of every shard, whatever its own number is."""
    queue = queues.add(shards=4)
    lowered = lower(queues)

    queues.fleet.want_results(producer_of(lowered).registration, for_seconds=10)

    asked = [queues.client.hexists(s.keys.meta, "results_until") for s in producer_of(queue).shards]
    assert all(asked)


def test_a_drain_seals_the_shard_that_it_pushed_to(queues: Queues, redis: redis_py.Redis) -> None:
    """A page that was marked for a shard beyond a lowered number is sealed there."""
    queue = queues.add(shards=4, events_per_request=100)
    producer = producer_of(queue)
    producer.shards = producer.shards[3:]
    queues.fill(queue, 2)
    lowered = producer_of(lower(queues)).registration

    seal(queues.fleet, Page(lowered, Sent(3, "mark", 2), 0, [b"1", b"2"], True, (1, 1, 2)))

    assert redis.llen(queues.shard(queue, 3).keys.open) == 0
    assert queues.claim(queue, 3).events == 2
    assert stored(redis) == []
