"""A move that is killed, stopped or refused half-way loses and doubles nothing, and can go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tools.moves import balanced, drain, move, plan, texts
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.batches.move_plans import Changes
from vwo_celery.operating.operations import Amount
from vwo_celery.operating.past.audit import changes
from vwo_celery.queue.handling import moving
from vwo_celery.queue.work import departures
from vwo_celery.queue.work.sweeping import patrol

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released", "leaving", "arrived")
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
