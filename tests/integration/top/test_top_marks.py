"""Marks of `vwo-celery top`: several rows are changed by one key, in one change of the audit."""

from __future__ import annotations

import pytest

from tools.queue_states import Queues
from tools.terminals import OPERATOR, Terminal, in_terminal, source_of
from vwo_celery import Queue
from vwo_celery.operating import operations
from vwo_celery.operating.past.audit import changes
from vwo_celery.top.looking.plans import Nothing, Plan
from vwo_celery.top.looking.steering import plan_flush, plan_pause
from vwo_celery.top.parts.tables import Table
from vwo_celery.top.screens.overview import WIDE

pytestmark = pytest.mark.declared_keys("*")


def with_open(queues: Queues, account: int, events: int) -> Queue:
    """A queue of an account with so many open events."""
    queue = queues.add(account)
    queues.fill(queue, events)
    return queue


def three_dead(queues: Queues) -> Queue:
    """A queue with three dead letters of five events each."""
    queue = queues.add()
    queues.fill(queue, 15)
    for _ in range(3):
        queues.kill(queue, "VWO answered 413 (Payload Too Large)")
    return queue


async def walk_to_dead(terminal: Terminal) -> None:
    """Open the list of dead letters."""
    await terminal.until("fme-")
    await terminal.press("g", "d")
    await terminal.until("15 events in 3 batches")


def test_all_queues_that_are_marked_are_paused(queues: Queues, redis_url: str) -> None:
    """And no other; the marks are shown before, gone afterwards, and the audit has one change."""
    names = [with_open(queues, account, account).name for account in (1, 2, 3)]

    async def use(terminal: Terminal) -> None:
        await terminal.until(lambda: all(name in terminal.text for name in names))
        await terminal.press("s", *"kkkxx")
        text = await terminal.until("2 marked")
        assert text.count("✓ fme-") == 2
        await terminal.press("p")
        await terminal.until("Pause 2 queues")
        await terminal.press(*"Ana", "enter")
        await terminal.until("paused 2 queues")
        assert "marked" not in terminal.text

    in_terminal(source_of(redis_url), use)

    paused = {view.queue for view in queues.views() if view.paused}
    (change,) = changes(queues.fleet)
    assert paused == set(sorted(names)[:2])
    assert (change.command, set(change.queues), change.done) == ("pause", paused, 2)


def test_a_marked_queue_that_fails_keeps_no_other_from_being_paused(
    queues: Queues, redis_url: str
) -> None:
    """The others are paused, and the failure is told with the queue's name."""
    names = sorted(with_open(queues, account, account).name for account in (1, 2, 3))
    meta = queues.fleet.shard(names[0], 0).keys.meta

    async def use(terminal: Terminal) -> None:
        await terminal.until(lambda: all(name in terminal.text for name in names))
        await terminal.press("s", *"kkkxxx")
        await terminal.until("3 marked")
        await terminal.press("p")
        await terminal.until("Pause 3 queues")
        queues.client.rename(meta, "aside")
        queues.client.set(meta, "somebody's")
        await terminal.press("enter")
        await terminal.until(f"paused 2 queues, but not for {names[0]}")

    in_terminal(source_of(redis_url), use)

    queues.client.rename("aside", meta)
    assert sorted(view.queue for view in queues.views() if view.paused) == names[1:]
    (change,) = changes(queues.fleet)
    assert (change.result, change.done, change.matched) == ("failed", 2, 3)


def test_letters_that_are_marked_are_redriven_together(queues: Queues, redis_url: str) -> None:
    """Others that match the same filter stay dead."""
    queue = three_dead(queues)

    async def use(terminal: Terminal) -> None:
        await walk_to_dead(terminal)
        await terminal.press("x", "j", "x")
        await terminal.until("2 marked")
        await terminal.press("r")
        await terminal.until("10 events in 2 batches of 1 queue, those marked")
        await terminal.press("y")
        await terminal.until("redriven 10 events in 2 batches")

    in_terminal(source_of(redis_url), use)

    view = queues.view(queue)
    assert (view.ready, view.dead) == (10, 5)
    assert len(changes(queues.fleet)) == 1


def test_events_that_are_marked_are_dropped_together(queues: Queues, redis_url: str) -> None:
    """Of one dead letter; `u` takes marks away, and a small letter agrees to no loss."""
    queue = three_dead(queues)

    async def use(terminal: Terminal) -> None:
        await walk_to_dead(terminal)
        await terminal.press("enter")
        await terminal.until("events 1 to 5")
        await terminal.press(*"xu")
        assert "✓" not in terminal.text
        await terminal.press(*"xx")
        await terminal.until("2 marked")
        await terminal.press("P")
        await terminal.until("Purge 2 events (2, 3)")
        await terminal.press("Y")
        await terminal.until("purged 2 events")

    in_terminal(source_of(redis_url), use)

    view = queues.view(queue)
    assert (view.dead, view.dropped) == (13, {"purged": 2})
    assert changes(queues.fleet)[-1].command == "dead purge --event 2 --event 3"


def test_a_row_that_goes_takes_its_mark_along(queues: Queues, redis_url: str) -> None:
    """Nothing is changed that nobody sees: a filter that hides a marked queue unmarks it."""
    names = [with_open(queues, account, 3).name for account in (1, 2)]

    async def use(terminal: Terminal) -> None:
        await terminal.until(lambda: all(name in terminal.text for name in names))
        await terminal.press("s", *"kkkxx")
        await terminal.until("2 marked")
        await terminal.press("slash", *min(names), "enter")
        await terminal.until("1 marked")
        await terminal.press("f")
        await terminal.until(f"Flush {min(names)}")
        await terminal.press("escape")

    in_terminal(source_of(redis_url), use)


def test_without_operate_nothing_is_marked(queues: Queues, redis_url: str) -> None:
    """The key is not at the bottom, and does nothing."""
    with_open(queues, 1, 3)

    async def use(terminal: Terminal) -> None:
        assert "x Mark" not in await terminal.until("fme-")
        await terminal.press("x")
        assert "marked" not in terminal.text

    in_terminal(source_of(redis_url), use, operate=False)


def test_of_several_queues_those_that_are_stopped_stay_so(queues: Queues) -> None:
    """A pause names them; only where each is stopped already does the key resume."""
    names = [with_open(queues, account, 3).name for account in (1, 2)]
    operations.pause(queues.fleet, OPERATOR, {names[0]: queues.registered[names[0]]}, "as it is")

    both, stopped = plan_pause(queues.fleet, names), plan_pause(queues.fleet, names[:1])

    assert isinstance(both, Plan)
    assert isinstance(stopped, Plan)
    assert both.title == f"Pause {names[1]}"
    assert [line for line in both.lines if line.startswith(f"{names[0]} stays as it is: paused")]
    assert stopped.title == f"Resume {names[0]}"


def test_a_queue_that_every_worker_declines_is_not_resumed(queues: Queues) -> None:
    """It says why a resume cannot help, and what does; others that are marked are resumed."""
    names = [with_open(queues, account, account).name for account in (1, 2)]
    operations.pause(queues.fleet, OPERATOR, {names[0]: queues.registered[names[0]]}, "as it is")
    shard = queues.fleet.shard(names[1], 0)
    shard.hold(queues.fleet.now_ms() + 60_000, by="workers", why="add it to allowed_hosts")

    both, declined = plan_pause(queues.fleet, names), plan_pause(queues.fleet, names[1:])

    assert isinstance(declined, Nothing)
    assert "every worker declines it, and a resume does not change that" in declined.why
    assert declined.why.endswith("Add it to allowed_hosts.")
    assert isinstance(both, Plan)
    assert both.title == f"Resume {names[0]}"
    assert both.lines[-1] == f"{names[1]}: {declined.why}"


def test_a_flush_of_several_names_each(queues: Queues) -> None:
    """How much each holds, and which of them is not sent."""
    names = [with_open(queues, account, account).name for account in (1, 2, 3)]
    operations.pause(queues.fleet, OPERATOR, {names[0]: queues.registered[names[0]]}, "as it is")

    plan = plan_flush(queues.fleet, names)

    assert isinstance(plan, Plan)
    assert plan.title == "Flush 3 queues"
    assert plan.lines[0].startswith("6 events go to the workers now")
    assert [line for line in plan.lines if line.startswith(f"{names[2]}: 3 events (3 open")]
    assert [line for line in plan.lines if f"but nothing of {names[0]} is sent" in line]


def test_cursor_and_marks_outlast_other_columns(queues: Queues, redis_url: str) -> None:
    """Where a wider terminal gets more columns, a key changes the row that it would have changed."""
    names = sorted(with_open(queues, account, account).name for account in (1, 2, 3))

    async def use(terminal: Terminal) -> None:
        await terminal.until(lambda: all(name in terminal.text for name in names))
        await terminal.press("s", *"kkkxj")
        table = terminal.app.screen.query_one(Table)
        before = table.chosen, table.marked
        assert before == (names[2], {names[0]})
        for width in (WIDE, WIDE - 30, WIDE):
            await terminal.resize(width)
            assert (table.chosen, table.marked) == before

    in_terminal(source_of(redis_url), use)
