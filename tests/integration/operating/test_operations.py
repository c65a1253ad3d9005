"""Pause, resume, redrive and purge, against a real Redis."""

from __future__ import annotations

import re

import pytest

from tools.queue_states import HOLDS_SOMETHING, OPERATOR, Queues, everything, find_dead
from vwo_celery.operating import operations
from vwo_celery.operating.batches.finding import events_of
from vwo_celery.operating.operations import Amount, Done
from vwo_celery.operating.past.audit import Actor
from vwo_celery.queue.work import flushing
from vwo_celery.queue.work.flushing import FlushCounts

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


def test_a_paused_queue_is_not_claimed_from_until_resumed(queues: Queues) -> None:
    """A paused queue holds ready batches back, and resuming wakes a worker for them."""
    queue = queues.add()
    queues.fill(queue, 5)
    while queues.fleet.next_wakeup(0.01):
        pass

    paused = operations.pause(queues.fleet, OPERATOR, queues.registered, "maintenance")
    nothing = queues.shard(queue).claim(token="", lease_seconds=60)
    queues.client.delete(queues.shard(queue).keys.slots)
    resumed = operations.resume(queues.fleet, OPERATOR, queues.registered)
    wakeup = queues.fleet.next_wakeup(1)

    assert (paused, resumed) == ([queue.name], [queue.name])
    assert nothing is None
    assert wakeup is not None
    assert wakeup.queue == queue.name
    assert queues.claim(queue).events == 5


def test_a_pause_keeps_who_when_and_why_apart(queues: Queues) -> None:
    """A reason replaces neither the operator nor the time; the next operator replaces none of them."""
    queue = queues.add()
    bob = Actor("bob", "cli", "ops2")

    first = operations.pause(queues.fleet, OPERATOR, queues.registered, "VWO's maintenance")
    second = operations.pause(queues.fleet, bob, queues.registered, "another")

    assert (first, second) == ([queue.name], [])
    stopped = queues.view(queue).stopped
    assert stopped is not None
    assert (stopped.by, stopped.who, stopped.why) == (
        "operator",
        "alice on ops1",
        "VWO's maintenance",
    )
    assert stopped.for_seconds is not None
    assert stopped.also is None
    assert re.fullmatch(r"paused: VWO's maintenance \(for \S+ s, by alice on ops1\)", str(stopped))


@pytest.mark.parametrize("by", ["refusal", "hold"])
@pytest.mark.parametrize("operator_first", [True, False])
def test_an_automatic_stop_and_a_pause_are_both_told(
    queues: Queues, by: str, operator_first: bool
) -> None:
    """Whichever was first, VWO's refusal and the operator's pause are both told; resume ends both."""
    queue = queues.add()
    shard = queues.shard(queue)

    def refuse() -> None:
        if by == "hold":
            shard.hold(queues.fleet.now_ms() + 60_000, by="refusal", why="VWO answered 401")
        else:
            shard.pause("VWO answered 401", by="refusal")

    if operator_first:
        operations.pause(queues.fleet, OPERATOR, queues.registered, "lunch")
        refuse()
    else:
        refuse()
        assert operations.pause(queues.fleet, OPERATOR, queues.registered, "lunch") == [queue.name]

    stopped = queues.view(queue).stopped
    assert stopped is not None
    assert stopped.also is not None
    both = {each.by: (each.why, each.who) for each in (stopped, stopped.also)}
    assert both == {"operator": ("lunch", "alice on ops1"), "refusal": ("VWO answered 401", "")}
    assert stopped.needs_person
    assert {"lunch", "VWO answered 401", "alice on ops1"} == {
        word for word in ("lunch", "VWO answered 401", "alice on ops1") if word in str(stopped)
    }
    assert operations.resume(queues.fleet, OPERATOR, queues.registered) == [queue.name]
    assert queues.view(queue).stopped is None


def test_a_pause_of_an_older_release_is_told_beside(queues: Queues) -> None:
    """An older release notes a reason only; who paused it since is told with it."""
    queue = queues.add()
    queues.client.hset(queues.shard(queue).keys.meta, "paused", "of old")

    operations.pause(queues.fleet, OPERATOR, queues.registered)

    assert str(queues.view(queue).stopped).startswith(
        "paused: of old (by an operator or a worker); besides, paused: no reason given (for "
    )


def test_resuming_names_only_what_was_paused(queues: Queues) -> None:
    """resume names only the queues that were paused."""
    queues.add(1)
    paused = queues.add(2, shards=2)
    for number in range(2):
        queues.shard(paused, number).pause("HTTP 401")

    resumed = operations.resume(queues.fleet, OPERATOR, queues.registered)

    assert resumed == [paused.name]
    assert queues.view(paused).paused == ""


def test_dead_letters_are_found_by_queue_batch_and_reason(queues: Queues) -> None:
    """Dead letters are found by each filter alone; without any, the newest come first."""
    first, second = queues.add(1), queues.add(2)
    queues.fill(first, 10)
    queues.fill(second, 5)
    old = queues.kill(first, "HTTP 413: Too large")
    new = queues.kill(first, "HTTP 400: no such account")
    other = queues.kill(second, "HTTP 413: Too large")
    keys = queues.shard(first).keys
    queues.client.zincrby(keys.dead, -60_000, old.id)

    def found(queue: str = "", batches: tuple[str, ...] = (), reason: str = "") -> list[str]:
        chosen = {n: r for n, r in queues.registered.items() if queue in (n, "")}
        dead = find_dead(queues.fleet, chosen, batches=batches, reason=reason)
        return [each.batch for each in dead]

    assert found()[-1] == old.id
    assert found(first.name) == [new.id, old.id]
    assert found(batches=(other.id,)) == [other.id]
    assert found(reason="too LARGE") == [other.id, old.id]
    assert found(reason="nothing such") == []


def test_a_dead_letter_tells_its_story(queues: Queues) -> None:
    """A dead letter shows its number of events, its attempts, the reason, the time and its content."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.release(queue, "HTTP 503", delay_seconds=0)
    queues.kill(queue, "too old")

    (dead,) = find_dead(queues.fleet, queues.registered)

    assert (dead.queue, dead.events, dead.attempts) == (queue.name, 5, 2)
    assert dead.reason == "too old"
    assert 0 <= dead.died_age_seconds < 10
    assert list(events_of(queues.fleet, dead, 2)) == [b'{"n":0}', b'{"n":1}']
    assert len(list(events_of(queues.fleet, dead))) == 5


def test_a_redriven_batch_is_sent_again(queues: Queues) -> None:
    """A redriven batch is ready, a worker is woken, and the sweep watches its shard again."""
    queue = queues.add()
    queues.fill(queue, 5)
    batch = queues.kill(queue, "HTTP 413")
    queues.client.delete(
        queues.fleet.keys.watched, queues.fleet.keys.wakeups, queues.shard(queue).keys.slots
    )

    dead = find_dead(queues.fleet, queues.registered)
    seen: list[Amount] = []
    done = operations.redrive(queues.fleet, OPERATOR, dead, everything(dead, watch=seen.append))

    assert (done.changed, seen) == (Amount(1, 5), [Amount(1, 5)])
    assert [shard.queue for shard in queues.fleet.watched()] == [queue.name]
    assert queues.fleet.next_wakeup(1) is not None
    assert queues.claim(queue).id == batch.id
    assert queues.view(queue).ledger.balanced


def test_a_purged_batch_is_counted_as_dropped(queues: Queues) -> None:
    """After a purge the ledger balances and counts the purged events."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")

    dead = find_dead(queues.fleet, queues.registered)
    done = operations.purge(queues.fleet, OPERATOR, dead, everything(dead))

    view = queues.view(queue)
    assert done.changed.events == 5
    assert view.dropped == {"purged": 5}
    assert (view.dead, view.ledger.dropped, view.ledger.balanced) == (0, 5, True)


def test_what_is_dead_no_more_is_left_alone(queues: Queues) -> None:
    """Two operators at once send or drop nothing twice."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")
    dead = find_dead(queues.fleet, queues.registered)

    order = everything(dead)
    first = operations.redrive(queues.fleet, OPERATOR, dead, order)
    second = operations.redrive(queues.fleet, OPERATOR, dead, order)
    purged = operations.purge(queues.fleet, OPERATOR, dead, order)

    assert first == Done(Amount(1, 5))
    assert second == purged == Done()
    assert queues.view(queue).ready == 5


def test_a_flush_of_several_queues_has_one_deadline(queues: Queues) -> None:
    """A flush of several queues has one deadline, and returns each queue's own counts."""
    well, ill = queues.add(1), queues.add(2)
    queues.fill(well, 7)
    queues.fill(ill, 5)
    queues.fleet.note_listener("host:1")
    seen: list[FlushCounts] = []

    def work(counts: FlushCounts) -> None:
        seen.append(counts)
        if counts.delivered < 7:
            queues.deliver(well)
        elif not counts.failed:
            queues.kill(ill, "HTTP 413")

    done = flushing.flush_shards(
        queues.fleet, [queues.shard(well), queues.shard(ill)],
        timeout_seconds=10, watch=work,
    )  # fmt: skip

    assert seen[0] == FlushCounts(0, 0, 12, "")
    assert done[well.name] == FlushCounts(7, 0, 0, "")
    assert done[ill.name] == FlushCounts(
        0, 5, 0, "5 events dead-lettered, see: vwo-celery dead list"
    )
