"""Moves of a queue's events to another destination, against a real Redis."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tools.queue_states import HOLDS_SOMETHING, KEY, Queues
from vwo_celery import Queue
from vwo_celery.destinations import Destination
from vwo_celery.errors import DestinationError, MoveRefused, QueueUnavailable
from vwo_celery.operating import operations
from vwo_celery.operating.batches import move_plans
from vwo_celery.operating.batches.contradictions import contradiction
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.move_plans import Changes, Plan
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.operating.operations import Amount, Moved
from vwo_celery.operating.past.audit import Actor, changes
from vwo_celery.queue.handling import moving
from vwo_celery.queue.looks import places
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.words.registration import Registration
from vwo_celery.queue.work import departures
from vwo_celery.queue.work import moves as steps
from vwo_celery.queue.work.flushing import flush
from vwo_celery.queue.work.sweeping import patrol

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released", "leaving", "arrived")
NEW_KEY = "f" * 32
OPERATOR = Actor("ada", "cli", "host")


def plan(queues: Queues, queue: Queue, changes: Changes | None = None, **options: Any) -> Plan:
    """The plan of a move to the same destination with another key, or with other changes."""
    return move_plans.plan_to_changed(
        queues.fleet, queues.settings, queues.registered, queues.registered[queue.name],
        changes or Changes(sdk_key=NEW_KEY), **options,
    )  # fmt: skip


def move(queues: Queues, planned: Plan, **options: Any) -> Moved:
    """The move of a plan."""
    return operations.move(queues.fleet, OPERATOR, planned, **options)


def drain(queues: Queues, registration: Registration) -> list[bytes]:
    """All events of a queue, as a worker would send them; they are delivered then."""
    events: list[bytes] = []
    for shard in queues.fleet.all_shards(registration):
        shard.sweep(force=True, idle_ms=1)
        while isinstance(batch := shard.claim(token="", lease_seconds=60), Batch):
            events += shard.read(batch)
            assert shard.ack(batch.id)
    return events


def texts(*numbers: int) -> list[bytes]:
    """The events that `Queues.fill` makes of these numbers."""
    return [msgspec.json.encode({"n": number}) for number in numbers]


def balanced(queues: Queues) -> bool:
    """Whether every ledger balances."""
    return all(view.ledger.balanced for view in queues.views())


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


# -- what may be moved


def fme(key: str = KEY, **meta: Any) -> bytes:
    """An FME event with the SDK key that it names."""
    props = {"vwo_envKey": key, **({"vwoMeta": meta} if meta else {})}
    return msgspec.json.encode({"d": {"event": {"name": "shown", "props": props}}})


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (fme(NEW_KEY, a=1, env=NEW_KEY), ""),
        (fme(KEY), "carries the SDK key …cdef"),
        (fme(NEW_KEY, env=KEY), "carries the SDK key …cdef"),
        (fme(NEW_KEY, a=2), "carries the account '2'"),
        (fme(NEW_KEY, a="1"), ""),
        (b'{"d":{"visitor":{"props":{"vwo_fs_environment":"%s"}}}}' % KEY.encode(), "SDK key"),
        (b'{"d":{"event":{"props":{"vwo_fs_environment":"%s"}}}}' % KEY.encode(), "SDK key"),
        (b'{"n":1}', ""),
        (b'{"d":[]}', ""),
        (b"not JSON", ""),
    ],
)
def test_events_that_name_another_key_or_account_contradict(event: bytes, found: str) -> None:
    """An FME event contradicts a destination whose key or account is not the one that it names."""
    target = msgspec.structs.replace(FME, sdk_key=NEW_KEY)

    told = contradiction([fme(NEW_KEY), event], target)

    assert found in told if found else told == ""
    assert KEY not in told


FME = Destination(account_id=1, sdk_key=KEY, generation="fme")


def test_a_key_of_the_same_environment_may_replace_another() -> None:
    """Events may carry the replaced key, and no third one."""
    target = msgspec.structs.replace(FME, sdk_key=NEW_KEY)

    assert contradiction([fme(KEY)], target, replaced_key=KEY) == ""
    assert "…cccc" in contradiction([fme("c" * 32)], target, replaced_key=KEY)


def test_legacy_events_name_nothing() -> None:
    """VWO takes the account and the key of a legacy event from the request alone."""
    target = Destination(account_id=2, sdk_key=NEW_KEY, generation="legacy")

    assert contradiction([b'{"u":"1","e":5,"r":"%s"}' % KEY.encode()], target) == ""


def test_a_contradiction_is_refused_before_anything_changes(queues: Queues) -> None:
    """The plan refuses, says why and what to do, and shows no key; with the flag the events move."""
    queue = queues.add()
    assert queue.enqueue(msgspec.json.decode(fme()))

    with pytest.raises(
        MoveRefused, match=r"carries the SDK key …cdef.*--same-environment"
    ) as refused:
        plan(queues, queue)
    moved = move(queues, plan(queues, queue, same_environment=True))

    assert KEY not in str(refused.value)
    assert NEW_KEY not in str(refused.value)
    assert moved.moved == Amount(1, 1)


def test_a_batch_that_contradicts_stays_and_the_others_move(queues: Queues) -> None:
    """A batch whose events contradict the destination is left as it is, and told with its reason."""
    queue = queues.add()
    queues.fill(queue, 5)
    assert all(queue.enqueue_many([msgspec.json.decode(fme())] * 5))
    queues.fill(queue, 5)
    planned = plan(queues, queue)

    moved = move(queues, planned)

    (left,) = moved.left
    assert moved.moved == Amount(2, 10)
    assert (left.batches, left.events) == (1, 5)
    assert "SDK key …cdef" in left.why
    assert queues.claim(queue).id == left.first
    assert balanced(queues)


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


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (Changes(base_url="https://evil.example"), "no worker with these settings may send to"),
        (Changes(sdk_key=KEY), "is the queue that the events are in"),
    ],
)
def test_a_destination_that_must_not_be_is_refused(
    queues: Queues, change: Changes, error: str
) -> None:
    """No event goes to a host that workers refuse, nor into the queue that it is in."""
    queue = queues.add()
    queues.fill(queue, 5)

    with pytest.raises(MoveRefused, match=error):
        plan(queues, queue, change)


def test_a_key_that_is_none_is_refused_unseen(queues: Queues) -> None:
    """A file that holds no key makes an error that does not show what it holds."""
    queue = queues.add()

    with pytest.raises(DestinationError) as refused:
        plan(queues, queue, Changes(sdk_key="two words"))

    assert "two words" not in str(refused.value)


# -- interruptions


STEPS = ("depart", "stage", "arrive_from_move", "forget", "forget_arrival")


class Killed(BaseException):
    """The end of a process, at some point."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("by", ["the same move", "the sweep"])
def test_a_killed_move_is_finished_or_undone(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, step: str, after: bool, by: str
) -> None:
    """A mover that dies at any point loses and doubles nothing; the next one goes on."""
    queue = queues.add()
    queues.fill(queue, 12)
    planned = plan(queues, queue)
    real: Callable[..., Any] = getattr(moving, step)

    def die(*arguments: Any, **options: Any) -> Any:
        if after:
            real(*arguments, **options)
        monkeypatch.setattr(departures, "settle", unable)  # nothing of the process runs any more
        raise Killed

    def unable(*_: Any, **__: Any) -> bool:
        raise QueueUnavailable("killed")

    with monkeypatch.context() as patched:
        patched.setattr(moving, step, die)
        with pytest.raises(Killed):
            move(queues, planned)
    monkeypatch.undo()
    assert balanced(queues)
    if by == "the sweep":
        monkeypatch.setattr(departures, "DEAD_MOVER_MS", 0)
        patrol(queues.fleet)
        assert moving.leaving(queues.shard(queue)) == []
    moved = move(queues, plan(queues, queue))

    assert balanced(queues)
    assert moving.leaving(queues.shard(queue)) == []
    assert queues.view(queue).undelivered == 0
    assert sorted(drain(queues, planned.target)) == sorted(texts(*range(12)))
    assert moved.moved.events + moved.arrived_before.events >= 7
    assert queues.client.keys("*:batch:*") == []


def test_a_stopped_move_goes_on(queues: Queues) -> None:
    """The brake ends a move after a batch; the audit tells it, and the same move does the rest."""
    queue = queues.add()
    queues.fill(queue, 20)
    brake = threading.Event()

    stopped = move(queues, plan(queues, queue), brake=brake, watch=lambda _: brake.set())
    rest = move(queues, plan(queues, queue))

    entries = [(each.command, each.done, each.result) for each in changes(queues.fleet)]
    assert (stopped.moved, stopped.interrupted) == (Amount(1, 5), True)
    assert rest.moved == Amount(3, 15)
    assert entries == [("move", 5, "interrupted"), ("move", 15, "ok")]


def test_what_comes_meanwhile_is_left(queues: Queues) -> None:
    """Events that come while it goes on are not chased; they are in the old queue."""
    queue = queues.add()
    queues.fill(queue, 10)
    planned = plan(queues, queue)

    moved = move(queues, planned, watch=lambda _: queues.fill(queue, 5))

    assert moved.moved == Amount(2, 10)
    assert queues.view(queue).undelivered == 10
    assert balanced(queues)


def test_a_full_queue_takes_what_fits(queues: Queues) -> None:
    """A new queue that is full ends the move; the batch that did not fit is as it was."""
    queue, other = queues.add(1), queues.add(2)
    queues.fill(queue, 15)
    limits = msgspec.structs.replace(queues.registered[other.name].limits, capacity_events=7)
    queues.shard(other).set_limits(limits)
    before = queues.shard(queue).first_due()

    moved = move(queues, plan(queues, queue, Changes(account_id="2")))

    assert moved.moved == Amount(1, 5)
    assert "more events than max_queue_events" in moved.stopped
    assert queues.view(queue).ready == 10
    assert queues.shard(queue).first_due() > before
    assert balanced(queues)


def test_a_full_redis_leaves_all_as_it_was(queues: Queues) -> None:
    """A Redis without memory stores nothing in the new queue, and takes the batch back."""
    queue = queues.add()
    queues.fill(queue, 10)
    planned = plan(queues, queue)
    queues.fleet.register(planned.target)
    before = queues.view(queue)
    queues.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(QueueUnavailable, match="maxmemory"):
            move(queues, planned)
    finally:
        queues.client.config_set("maxmemory", 0)

    view = queues.view(queue)
    assert moving.leaving(queues.shard(queue)) == []
    assert (view.ready, view.ledger) == (before.ready, before.ledger)


def test_a_denied_command_leaves_all_as_it_was(queues: Queues, redis_url: str) -> None:
    """A user who may not do all of it moves nothing, and the batch stays in its queue."""
    queue = queues.add()
    queues.fill(queue, 5)
    planned = plan(queues, queue)
    queues.fleet.register(planned.target)
    queues.client.execute_command("ACL", "SETUSER", "default", "-ltrim", "-lpush")
    try:
        with pytest.raises(QueueUnavailable):
            move(queues, planned)
    finally:
        queues.client.execute_command("ACL", "SETUSER", "default", "+@all")

    assert queues.view(queue).ready == 5
    assert moving.leaving(queues.shard(queue)) == []


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


def test_a_move_is_refused_where_the_shapes_differ(queues: Queues) -> None:
    """Events of one generation never go to a queue of the other."""
    queue = queues.add()
    source = queues.registered[queue.name]
    legacy = Destination(account_id=1, sdk_key=KEY, generation="legacy")
    target = msgspec.structs.replace(source, destination=legacy)

    with pytest.raises(MoveRefused, match="of another shape"):
        move_plans.plan_to_queue(queues.fleet, queues.settings, source, target)
