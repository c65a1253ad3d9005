"""A move takes a queue's events to another destination: what moves, what stays, what is told."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from tools.moves import NEW_KEY, balanced, drain, move, plan, texts
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.operating.batches import move_plans
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.move_plans import Changes
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.operating.operations import Amount
from vwo_celery.queue.looks import places
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.work import moves as steps
from vwo_celery.queue.work.flushing import flush

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released", "leaving", "arrived")


def test_all_but_what_is_in_flight_moves(queues: Queues) -> None:
    """Open, ready, released and dead events move, in order, unchanged; what is in flight stays."""
    queue = queues.add()
    queues.fill(queue, 60)
    held = queues.claim(queue)
    queues.release(queue, "HTTP 503", 600)
    queues.kill(queue, "HTTP 413")
    planned = plan(queues, queue)

    moved = move(queues, planned)

    source, target = queues.view(queue), planned.target
    (view,) = view_queues(
        queues.fleet, {target.destination.queue: queues.registered[target.destination.queue]}
    )
    assert planned.is_new
    assert moved.moved.events == planned.events == 55
    assert (moved.left, moved.stopped, moved.interrupted) == ((), "", False)
    assert (source.in_flight, source.undelivered, source.dead) == (held.events, 5, 0)
    assert (source.ledger.accepted, view.ledger.accepted) == (5, 55)
    assert (view.dead, view.ready, view.released) == (5, 50, 0)
    assert balanced(queues)
    sent = drain(queues, target)
    (dead,) = queues.fleet.shard(target.destination.queue, 0).client.keys("*batch*~*")
    rest = queues.client.lrange(dead, 0, -1) + queues.shard(queue).read(held)
    assert Counter(sent + rest) == Counter(texts(*range(60)))


def test_the_new_queue_is_as_a_producer_registers_it(queues: Queues) -> None:
    """The new queue has the old one's limits and shards, and a worker is woken for it."""
    queue = queues.add(shards=2)
    queues.fill(queue, 5)
    planned = plan(queues, queue)
    while queues.fleet.next_wakeup(0.01):
        pass

    move(queues, planned)

    registration = queues.registered[planned.target.destination.queue]
    wakeup = queues.fleet.next_wakeup(1)
    assert registration.limits == queues.registered[queue.name].limits
    assert registration.shards == 2
    assert registration.destination.sdk_key == NEW_KEY
    assert wakeup is not None
    assert wakeup.queue == registration.destination.queue


def test_a_registered_queue_keeps_its_registration(queues: Queues) -> None:
    """A move to a registered queue leaves its limits alone, whichever way the queue was named."""
    queue, other = queues.add(1), queues.add(2, events_per_request=9)
    queues.fill(queue, 7)
    before = queues.registered
    to_queue = move_plans.plan_to_queue(
        queues.fleet, queues.settings, before[queue.name], before[other.name], states=["open"]
    )

    by_account = plan(queues, queue, Changes(account_id="2"))
    opened = move(queues, to_queue)
    rest = move(queues, by_account)

    assert by_account.target == before[other.name] == queues.registered[other.name]
    assert (opened.moved, rest.moved) == (Amount(1, 2), Amount(1, 5))
    assert queues.view(other).ready == 7


@pytest.mark.parametrize(
    ("states", "events"), [(["open"], 2), (["ready"], 5), (["released"], 5), (["dead"], 5)]
)
def test_only_the_named_states_move(queues: Queues, states: list[str], events: int) -> None:
    """Events in a state that is not named stay as they are."""
    queue = queues.add()
    queues.fill(queue, 17)
    queues.kill(queue, "HTTP 413")
    queues.release(queue, "HTTP 503", 600)
    planned = plan(queues, queue, states=states)

    moved = move(queues, planned)

    view = queues.view(queue)
    left = {"open": view.open, "ready": view.ready, "released": view.released, "dead": view.dead}
    assert planned.events == moved.moved.events == events
    assert left == {"open": 2, "ready": 5, "released": 5, "dead": 5} | {states[0]: 0}
    assert balanced(queues)


def test_a_filter_picks_dead_letters(queues: Queues) -> None:
    """With a filter only the batches that it picks are counted and moved."""
    queue = queues.add()
    queues.fill(queue, 15)
    queues.kill(queue, "VWO answered 413")
    kept = queues.kill(queue, "VWO answered 400")
    planned = plan(queues, queue, states=["dead"], filter=Filter.parse("reason:413"))

    moved = move(queues, planned)

    assert (planned.events, moved.moved) == (5, Amount(1, 5))
    assert places.page_of(queues.shard(queue), "dead") == [kept.id]


def test_a_released_batch_begins_anew_and_a_dead_one_keeps_its_story(queues: Queues) -> None:
    """At the new destination attempts count from 0; a dead letter keeps reason, attempts and time."""
    queue = queues.add()
    queues.fill(queue, 10)
    queues.release(queue, "HTTP 503", 0)
    dead = queues.kill(queue, "HTTP 413")
    queues.release(queue, "HTTP 503", 600)
    died_ms = queues.client.zscore(queues.shard(queue).keys.dead, dead.id)
    planned = plan(queues, queue)

    move(queues, planned)

    target = queues.fleet.shard(planned.target.destination.queue, 0)
    (name,) = places.page_of(target, "dead")
    (letter,) = steps.look_up(target, [name], "dead")
    claimed = target.claim(token="", lease_seconds=60)
    assert (letter.attempt, letter.error, letter.at_ms) == (dead.attempt, "HTTP 413", died_ms)
    assert isinstance(claimed, Batch)
    assert claimed.attempt == 1


def test_what_a_worker_delivers_meanwhile_is_nothing_that_stays(queues: Queues) -> None:
    """A batch that was delivered after it was listed is not told as one whose events are gone."""
    queue = queues.add()
    queues.fill(queue, 15)
    waiting = [queue]

    moved = move(
        queues, plan(queues, queue), watch=lambda _: waiting and queues.deliver(waiting.pop())
    )

    assert (moved.moved, moved.left, moved.vanished) == (Amount(2, 10), (), 0)
    assert balanced(queues)


def test_a_batch_whose_events_are_gone_is_counted_as_vanished(queues: Queues) -> None:
    """Somebody deleted its list: nothing moves, and the old queue counts its events as dropped."""
    queue = queues.add()
    queues.fill(queue, 10)
    queues.client.delete(queues.client.keys("*:batch:*")[0])

    moved = move(queues, plan(queues, queue))

    assert (moved.moved, moved.left, moved.vanished) == (Amount(1, 5), (), 5)
    assert queues.view(queue).dropped["vanished"] == 5
    assert balanced(queues)


@pytest.mark.parametrize("push", ["lpush", "rpush"])
def test_a_batch_into_which_another_program_pushed_stays(queues: Queues, push: str) -> None:
    """None of its events is left behind for one that was pushed: it stays whole, and the others move."""
    queue = queues.add()
    queues.fill(queue, 10)
    getattr(queues.client, push)(queues.client.keys("*:batch:*")[0], b"alien")

    moved = move(queues, plan(queues, queue))

    (left,) = moved.left
    assert (moved.moved, left.batches, left.events) == (Amount(1, 5), 1, 5)
    assert "another program pushed into a batch" in left.why
    assert len(drain(queues, queues.registered[queue.name])) == 6
    assert balanced(queues)


def test_what_comes_meanwhile_is_left(queues: Queues) -> None:
    """Events that come while it goes on are not chased; they are in the old queue."""
    queue = queues.add()
    queues.fill(queue, 10)
    planned = plan(queues, queue)

    moved = move(queues, planned, watch=lambda _: queues.fill(queue, 5))

    assert moved.moved == Amount(2, 10)
    assert queues.view(queue).undelivered == 10
    assert balanced(queues)


def test_a_flush_is_told_that_its_events_were_moved(queues: Queues) -> None:
    """A flush that waits for events which an operator moves away says so; they are not lost."""
    queue = queues.add()
    queues.fill(queue, 5)
    registration = queues.registered[queue.name]
    planned = plan(queues, queue)
    result: list[Any] = []
    waiting = threading.Thread(
        target=lambda: result.append(flush(queues.fleet, registration, timeout_seconds=20))
    )
    waiting.start()
    shard = queues.shard(queue)
    while not queues.client.hget(shard.keys.meta, "flush_until"):
        pass

    move(queues, planned)
    waiting.join()

    assert (result[0].delivered, result[0].pending) == (0, 0)
    assert "5 events moved to another destination by an operator (moved)" in result[0].reason


def test_notes_tell_what_speaks_against_it(queues: Queues) -> None:
    """The plan's notes: workers go on with the old queue, in flight stays, the new one is paused."""
    queue, other = queues.add(1), queues.add(2)
    queues.fill(queue, 10)
    queues.claim(queue)
    queues.shard(other).pause("maintenance")

    notes = "\n".join(plan(queues, queue, Changes(account_id="2")).notes)

    assert f"{queue.name} is not paused: until they are moved, workers go on" in notes
    assert "5 events are in flight and stay" in notes
    assert f"{other.name} is paused: maintenance; the events wait there" in notes
