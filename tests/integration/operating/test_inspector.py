"""Views and health of queues, against a real Redis."""

from __future__ import annotations

import msgspec
import pytest
import redis as redis_py

from tools.queue_states import HOLDS_SOMETHING, Queues
from tools.redis_commands import commands_sent
from vwo_celery.errors import QueueUnavailable, QueueUnknown
from vwo_celery.operating.looks import health, inspector
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.work import sweeping

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


def test_every_event_is_in_one_place(queues: Queues) -> None:
    """Open, ready, in flight, released, dead and delivered events are told apart, and add up."""
    queue = queues.add()
    queues.fill(queue, 27)
    queues.kill(queue, "HTTP 413")
    queues.release(queue, "HTTP 503")
    queues.deliver(queue)
    queues.claim(queue)

    view = queues.view(queue)

    assert (view.open, view.ready, view.in_flight, view.released) == (2, 5, 5, 5)
    assert (view.dead, view.dead_batches, view.undelivered) == (5, 1, 17)
    assert msgspec.to_builtins(view.ledger) == {
        "queue": queue.name, "accepted": 27, "delivered": 5, "dead": 5, "dropped": 0,
        "pending": 7, "in_flight": 5, "released": 5, "balanced": True,
    }  # fmt: skip


def test_a_released_batch_says_why_and_until_when(queues: Queues) -> None:
    """A released batch shows VWO's answer, the attempt, and the time of the next one."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.release(queue, "HTTP 503: in trouble", delay_seconds=30)

    view = queues.view(queue)

    assert (view.error, view.attempt) == ("HTTP 503: in trouble", 1)
    assert view.next_try_seconds is not None
    assert 20 < view.next_try_seconds <= 30


def test_the_oldest_event_may_be_in_a_batch_that_vwo_did_not_accept(queues: Queues) -> None:
    """The age shown is that of the oldest undelivered event, wherever it is, also in a released batch."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.age_ready(queue, first_seconds=500, visible_seconds=0)
    queues.release(queue, "HTTP 503")
    queues.fill(queue, 1)

    view = queues.view(queue)

    assert view.oldest_age_seconds == pytest.approx(500, abs=10)
    assert view.late_seconds == 0


def test_a_deleted_key_puts_the_ledger_out_of_balance(queues: Queues) -> None:
    """Deleted events put the ledger out of balance; they are not silently written off."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.client.delete(queues.shard(queue).keys.ready)

    view = queues.view(queue)

    assert view.ledger.accepted == 5
    assert not view.ledger.balanced
    assert not view.idle


def test_an_emptied_queue_with_a_wrong_counter_is_out_of_balance(queues: Queues) -> None:
    """An empty queue with a wrong counter is out of balance, although it is read in a shorter way."""
    queue = queues.add()
    queues.client.hset(queues.shard(queue).keys.meta, mapping={"accepted": 7, "delivered": 5})

    assert not queues.view(queue).ledger.balanced


def test_what_another_program_pushed_is_pending_at_once(queues: Queues) -> None:
    """A plain LPUSH onto the open list is in the ledger before any sweep has seen it."""
    queue = queues.add()
    queues.client.lpush(queues.shard(queue).keys.open, '{"n":1}', '{"n":2}')

    view = queues.view(queue)

    assert (view.open, view.ledger.accepted, view.ledger.balanced) == (2, 2, True)


def test_an_event_is_late_when_its_interval_is_over(queues: Queues) -> None:
    """An event is late after its interval; before, it waits for its batch to fill."""
    young, old = queues.add(1), queues.add(2)
    for queue, age in ((young, 50), (old, 100)):
        queues.fill(queue, 1)
        queues.age_open(queue, age)

    assert queues.view(young).late_seconds == 0
    assert queues.view(old).late_seconds == pytest.approx(40, abs=10)


def test_a_full_batch_has_its_interval_too(queues: Queues) -> None:
    """A full batch is late after its interval as well, which a backlog may use."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.age_ready(queue, first_seconds=50, visible_seconds=50)

    assert queues.view(queue).late_seconds == 0


def test_a_real_time_event_is_late_at_once(queues: Queues) -> None:
    """A real-time event is late at once: there is no interval to wait for."""
    queue = queues.add(events_per_request=1)
    queues.fill(queue, 1)
    queues.age_ready(queue, first_seconds=50, visible_seconds=50)

    view = queues.view(queue)

    assert view.late_seconds == pytest.approx(50, abs=10)
    assert view.interval_seconds == 0


def test_a_batch_that_became_due_again_is_late_from_then_on(queues: Queues) -> None:
    """A released or redriven batch is late only from the time when it is due again."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.age_ready(queue, first_seconds=7200, visible_seconds=3)

    assert queues.view(queue).late_seconds == pytest.approx(3, abs=3)


def test_queues_in_trouble_come_first(queues: Queues) -> None:
    """Queues are ordered: the latest first, then those with events, then the idle ones."""
    idle, busy, late = queues.add(1), queues.add(2), queues.add(3)
    queues.fill(busy, 1)
    queues.fill(late, 1)
    queues.age_open(late, 100)

    views = queues.views()

    assert [view.queue for view in views] == [late.name, busy.name, idle.name]
    assert [view.idle for view in views] == [False, False, True]


def test_shards_are_added_up(queues: Queues) -> None:
    """The shards of a queue are added up: the operator sees one queue."""
    queue = queues.add(shards=3)
    for number in range(3):
        queues.client.lpush(queues.shard(queue, number).keys.open, "{}")

    view = queues.view(queue)

    assert (view.shards, view.open, view.ledger.accepted) == ((0, 1, 2), 3, 3)


def test_shards_that_were_taken_out_of_use_are_seen_until_empty(queues: Queues) -> None:
    """After `shards` was lowered, the old shards are still shown until they are empty."""
    before = queues.add(shards=2)
    queues.client.lpush(queues.shard(before, 1).keys.open, "{}")
    after = queues.add(shards=1)

    view = queues.view(after)

    assert (view.shards, view.open) == ((0, 1), 1)


def test_a_queue_without_registration_is_found(queues: Queues) -> None:
    """A queue whose registration was lost is still shown."""
    queue = queues.add()
    queues.fill(queue, 3)
    queues.client.delete(queues.fleet.keys.queues)

    strays = inspector.view_strays(queues.fleet, queues.registered)

    assert queues.views() == []
    assert [(stray.queue, stray.open) for stray in strays] == [(queue.name, 3)]


def test_a_registration_that_cannot_be_read_spoils_no_other(queues: Queues) -> None:
    """An unreadable registration, as of a later release, is named; other queues are shown as usual."""
    queue = queues.add()
    queues.client.hset(queues.fleet.keys.queues, "fme-9-later", '{"destination": 1}')
    queues.client.hset(queues.fleet.keys.queues, "fme-8-broken", b"\xff{")

    found = queues.fleet.registrations()

    assert list(found.readable) == [queue.name]
    assert sorted(found.unreadable) == ["fme-8-broken", "fme-9-later"]


def test_a_registration_that_cannot_be_read_stops_no_sweep(queues: Queues) -> None:
    """An unreadable registration does not stop the sweep of the other queues."""
    queue = queues.add()
    queues.fill(queue, 1)
    queues.age_open(queue, 100)
    queues.client.hset(queues.fleet.keys.queues, "fme-9-later", '{"destination": 1}')

    wakeups = sweeping.sweep(queues.fleet, by="beat")

    assert [wakeup.queue for wakeup in wakeups] == [queue.name]


def test_a_wrong_name_is_answered_with_the_nearest(queues: Queues) -> None:
    """A wrong queue name is answered with the nearest one, also for the beginning of a name."""
    queue = queues.add(888888)

    with pytest.raises(QueueUnknown, match=f"did you mean '{queue.name}'"):
        inspector.choose(queues.registered, ["fme-888"])
    with pytest.raises(QueueUnknown, match=f"did you mean '{queue.name}'"):
        inspector.choose(queues.registered, [queue.name.replace("fme", "fmr")])


def test_idle_queues_cost_one_command_each(queues: Queues, redis: redis_py.Redis) -> None:
    """Idle queues cost one command each, in few round trips: thousands of them can be shown."""
    count = 300
    for account in range(count):
        queues.add(account)
    registered = queues.registered

    with commands_sent(redis) as sent:
        views = inspector.view_queues(queues.fleet, registered)
        commands = sent()

    assert all(view.idle for view in views)
    assert len(views) == count
    assert len(commands) <= count + 10


def test_full_is_by_events_or_by_bytes(queues: Queues) -> None:
    """The fullness of a queue is that of its nearer bound, events or bytes."""
    queue = queues.add()
    queues.fill(queue, 1)
    meta = queues.shard(queue).keys.meta

    queues.client.hset(meta, mapping={"capacity_events": 2, "capacity_bytes": 1_000_000})
    by_events = queues.view(queue).fullness
    queues.client.hset(meta, mapping={"capacity_events": 1_000, "capacity_bytes": 10})
    by_bytes = queues.view(queue).fullness

    assert by_events == 0.5
    assert 0.5 < by_bytes < 1


# -- health


def test_nothing_to_do_is_healthy(queues: Queues) -> None:
    """An idle fleet is healthy, even before its first worker has started."""
    queues.add()

    found = health.health(queues.fleet, queues.settings)

    assert found
    assert str(found) == "healthy: 0 workers listen, 0 events pending"


def test_pending_events_and_nobody_listening_is_unhealthy(queues: Queues) -> None:
    """Pending events without any listener are unhealthy: nobody would send them."""
    queues.fill(queues.add(), 3)

    alone = health.health(queues.fleet, queues.settings)
    queues.fleet.note_listener("host:1")
    in_company = health.health(queues.fleet, queues.settings)

    assert str(alone) == "unhealthy: no worker listens, and 3 events pending"
    assert str(in_company) == "healthy: 1 worker listens, 3 events pending"


def test_far_over_the_interval_is_unhealthy(queues: Queues) -> None:
    """An event a little late is healthy; later than the grace is unhealthy, and the queue is named."""
    queue = queues.add()
    queues.fleet.note_listener("host:1")
    queues.fill(queue, 1)

    queues.age_open(queue, 60 + 20)
    a_little = health.health(queues.fleet, queues.settings)
    queues.age_open(queue, 60 + 50)
    far = health.health(queues.fleet, queues.settings)

    assert a_little
    assert not far
    assert queue.name in str(far)
    assert "past its interval of 60 s" in str(far)


def test_a_paused_queue_is_nobodys_illness(queues: Queues) -> None:
    """A paused queue is healthy: no restart of a worker would help."""
    queue = queues.add()
    queues.fill(queue, 1)
    queues.age_open(queue, 5000)
    queues.shard(queue).pause("HTTP 401")

    found = health.health(queues.fleet, queues.settings)

    assert found
    assert found.pending == 0


def test_an_outage_of_vwo_is_nobodys_illness(queues: Queues) -> None:
    """Batches that wait for their next attempt are healthy: the workers are not at fault."""
    queue = queues.add()
    queues.fleet.note_listener("host:1")
    queues.fill(queue, 5)
    queues.age_ready(queue, first_seconds=7200, visible_seconds=1)
    queues.release(queue, "HTTP 503")

    assert health.health(queues.fleet, queues.settings)


@pytest.mark.parametrize(
    ("interval_seconds", "sweep_seconds", "grace_seconds"),
    [(0, 1, 30), (60, 1, 30), (600, 1, 300), (86_400, 1, 300), (60, 60, 180)],
)
def test_the_grace_follows_the_interval(
    queues: Queues, interval_seconds: float, sweep_seconds: float, grace_seconds: float
) -> None:
    """The grace is half the interval, within 30 to 300 seconds, but at least some sweeps."""
    settings = msgspec.structs.replace(queues.settings, sweep_interval_seconds=sweep_seconds)

    assert health.grace_seconds(interval_seconds, settings) == grace_seconds


def test_without_redis_there_is_no_view() -> None:
    """Without Redis the view is an error, never an empty, healthy fleet."""
    fleet = Fleet(redis_py.Redis(port=1), "vwo")

    with pytest.raises(QueueUnavailable):
        fleet.registrations()
