"""Keys of `vwo-celery top`: what each changes in Redis, what it says before and after, and the audit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from threading import Event
from typing import NamedTuple

import pytest

from tools.queue_states import KEY, Queues
from tools.terminals import OPERATOR, Terminal, in_terminal, source_of
from vwo_celery import Queue
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.operations import Amount
from vwo_celery.operating.past.audit import Actor, changes
from vwo_celery.top.looking.changes import plan_dead
from vwo_celery.top.looking.plans import Means, Plan

pytestmark = pytest.mark.declared_keys("*")
Numbers = tuple[int, int, int, int]


def numbers(queues: Queues, queue: Queue) -> Numbers:
    """Open, ready, dead and purged events of a queue."""
    view = queues.view(queue)
    return view.open, view.ready, view.dead, view.dropped.get("purged", 0)


def three_open(queues: Queues) -> Queue:
    """A queue with three open events."""
    queue = queues.add()
    queues.fill(queue, 3)
    return queue


def paused(queues: Queues) -> Queue:
    """A paused queue with five ready events."""
    queue = queues.add()
    queues.fill(queue, 5)
    operations.pause(queues.fleet, OPERATOR, queues.registered, "as the test asks")
    return queue


def two_dead(queues: Queues) -> Queue:
    """A queue with two dead letters of five events each, for two reasons."""
    queue = queues.add()
    queues.fill(queue, 10)
    queues.kill(queue, "VWO answered 413 (Payload Too Large)")
    queues.kill(queue, "VWO answered 400 (Bad Request)")
    return queue


class Key(NamedTuple):
    """A key, and what it must do.

    Attributes:
        given: Brings a queue into the state.
        way: The keys that lead to the question.
        asks: What the question says.
        agree: The keys that agree.
        said: What is said afterwards.
        left: Open, ready, dead and purged events then.
        command: The command in the audit.
    """

    given: Callable[[Queues], Queue]
    way: Sequence[str]
    asks: str
    agree: Sequence[str]
    said: str
    left: Numbers
    command: str


DEAD = ("g", "d")
KEYS = {
    "flush": Key(three_open, ["f"], "3 events (3 open, 0 ready", ["y"], "flushed", (0, 3, 0, 0), "flush"),
    "pause": Key(
        three_open, ["p"], "Nothing of it is sent until somebody resumes it",
        [*"Ana", "enter"], "paused fme-", (3, 0, 0, 0), "pause",
    ),
    "resume": Key(paused, ["p"], "are sent again", ["y"], "resumed", (0, 5, 0, 0), "resume"),
    "redrive": Key(
        two_dead, [*DEAD, "r"], "5 events in 1 batch", ["y"], "redriven 5 events", (0, 5, 5, 0),
        "dead redrive",
    ),
    "redrive all": Key(
        two_dead, [*DEAD, "a"], "10 events in 2 batches of 1 queue, all there are", ["y"],
        "redriven 10 events in 2 batches", (0, 10, 0, 0), "dead redrive",
    ),
    "purge": Key(
        two_dead, [*DEAD, "P"], "dropped for good", ["Y"], "purged 5 events", (0, 0, 5, 5),
        "dead purge",
    ),
    "purge all": Key(
        two_dead, [*DEAD, "A"], "10 events in 2 batches of 1 queue", ["Y"], "purged 10 events",
        (0, 0, 0, 10), "dead purge",
    ),
    "redrive an event": Key(
        two_dead, [*DEAD, "enter", "j", "r"], "sent again in a batch of its own", ["y"],
        "redriven event 2", (0, 1, 9, 0), "dead redrive --event 2",
    ),
    "purge an event": Key(
        two_dead, [*DEAD, "enter", "P"], "the other 4 events", ["Y"], "purged event 1",
        (0, 0, 9, 1), "dead purge --event 1",
    ),
}  # fmt: skip


async def walk(terminal: Terminal, keys: Sequence[str]) -> None:
    """Press keys that open screens, each once the one before has its rows."""
    await terminal.until("fme-")
    for key in keys:
        await terminal.press(key)
        if key == "d":
            await terminal.until("by VWO's answer")
        if key == "enter":
            await terminal.until("events 1 to")


@pytest.mark.parametrize("key", KEYS.values(), ids=[*KEYS])
def test_a_key_asks_acts_and_tells(queues: Queues, redis_url: str, key: Key) -> None:
    """It says what it will do, does that, says what it did, and leaves one change in the audit."""
    queue = key.given(queues)
    queues.fleet.note_listener("web1:1")
    before = len(changes(queues.fleet))

    async def use(terminal: Terminal) -> None:
        await walk(terminal, key.way)
        await terminal.until(key.asks)
        await terminal.press(*key.agree)
        await terminal.until(key.said)

    in_terminal(source_of(redis_url), use)

    assert numbers(queues, queue) == key.left
    (change,) = changes(queues.fleet)[before:]
    assert Actor(change.who, change.door, change.host) == OPERATOR
    assert (change.command, change.result) == (key.command, "ok")


def test_a_pause_keeps_its_reason(queues: Queues, redis_url: str) -> None:
    """What is typed into the question is shown beside who paused it."""
    queue = three_open(queues)

    async def use(terminal: Terminal) -> None:
        await walk(terminal, ["p"])
        await terminal.until("reason")
        await terminal.press(*"until two", "enter")
        await terminal.until("paused fme-")

    in_terminal(source_of(redis_url), use)

    stop = queues.view(queue).stopped
    assert stop is not None
    assert (stop.why, stop.who) == ("until two", "alice on ops1")


@pytest.mark.parametrize("name", ["pause", "redrive all", "purge an event"])
def test_escape_changes_nothing(queues: Queues, redis_url: str, name: str) -> None:
    """Whoever reads what would happen may leave everything as it is, and the audit stays empty."""
    key = KEYS[name]
    queue = key.given(queues)
    before, known = numbers(queues, queue), len(changes(queues.fleet))

    async def use(terminal: Terminal) -> None:
        await walk(terminal, key.way)
        await terminal.until(key.asks)
        await terminal.press("escape")
        await terminal.until(lambda: key.asks not in terminal.text)

    in_terminal(source_of(redis_url), use)

    assert numbers(queues, queue) == before
    assert len(changes(queues.fleet)) == known


def test_a_small_letter_drops_nothing(queues: Queues, redis_url: str) -> None:
    """What drops events takes a capital letter twice."""
    queue = two_dead(queues)

    async def use(terminal: Terminal) -> None:
        await walk(terminal, [*DEAD, "P"])
        await terminal.until("dropped for good")
        await terminal.press("y", "enter")
        await terminal.press("escape")
        await terminal.until(lambda: "dropped for good" not in terminal.text)

    in_terminal(source_of(redis_url), use)

    assert numbers(queues, queue) == (0, 0, 10, 0)


@pytest.mark.parametrize("key", KEYS.values(), ids=[*KEYS])
def test_without_operate_no_key_changes_anything(queues: Queues, redis_url: str, key: Key) -> None:
    """The keys are not at the bottom, and pressed all the same they ask nothing."""
    queue = key.given(queues)
    before, known = numbers(queues, queue), len(changes(queues.fleet))
    shown = []

    async def use(terminal: Terminal) -> None:
        await walk(terminal, key.way)
        await terminal.press(*key.agree)
        shown.append(terminal.text)
        await terminal.press("escape")
        await terminal.until("read-only")

    in_terminal(source_of(redis_url), use, operate=False)

    assert key.asks not in shown[0]
    assert "Flush" not in shown[0]
    assert "Redrive" not in shown[0]
    assert numbers(queues, queue) == before
    assert len(changes(queues.fleet)) == known


def test_all_that_match_are_changed_not_what_is_listed(queues: Queues, redis_url: str) -> None:
    """The filter that was typed picks what a change is made of."""
    queue = two_dead(queues)

    async def use(terminal: Terminal) -> None:
        await walk(terminal, DEAD)
        await terminal.press("slash", *"answer:413", "enter")
        await terminal.until("5 events in 1 batch that match answer:413")
        await terminal.press("a")
        await terminal.until("1 queue, that match answer:413")
        await terminal.press("y")
        await terminal.until("redriven 5 events")

    in_terminal(source_of(redis_url), use)

    assert numbers(queues, queue) == (0, 5, 5, 0)
    assert changes(queues.fleet)[-1].filter == "answer:413"


def test_a_filter_that_cannot_be_read_is_told(queues: Queues, redis_url: str) -> None:
    """It says what is wrong with it, and the list stays as it was."""
    two_dead(queues)

    async def use(terminal: Terminal) -> None:
        await walk(terminal, DEAD)
        await terminal.press("slash", *"answr:413", "enter")
        text = await terminal.until("unknown word 'answr:'")
        assert "10 events in 2 batches" in text

    in_terminal(source_of(redis_url), use)


def test_what_dies_meanwhile_is_left_alone(queues: Queues) -> None:
    """Only what was counted is changed."""
    queue = two_dead(queues)
    plan = plan_dead(queues.fleet, "purge", Filter())
    assert isinstance(plan, Plan)
    queues.client.time()
    queues.fill(queue, 5)
    later = queues.kill(queue, "VWO answered 400 (Bad Request)")
    queues.client.zincrby(queues.shard(queue).keys.dead, 60_000, later.id)

    told = plan.act(Means(queues.fleet, OPERATOR, "", Event(), lambda _: None))

    assert told == "purged 10 events in 2 batches"
    assert numbers(queues, queue) == (0, 0, 5, 10)


def test_work_on_many_is_stopped_after_a_batch(queues: Queues) -> None:
    """The brake ends it after the batch that it is at, and it says what is as it was."""
    queue = queues.add()
    queues.fill(queue, 50)
    for _ in range(10):
        queues.kill(queue, "HTTP 413")
    plan, brake, seen = plan_dead(queues.fleet, "redrive", Filter()), Event(), list[Amount]()
    assert isinstance(plan, Plan)

    def watch(amount: Amount) -> None:
        seen.append(amount)
        brake.set()

    told = plan.act(Means(queues.fleet, OPERATOR, "", brake, watch))

    assert told == (
        "stopped: redriven 5 events in 1 batch; 45 events in 9 batches are as they were"
    )
    assert numbers(queues, queue) == (0, 5, 45, 0)


def test_escape_stops_work_that_goes_on(queues: Queues, redis_url: str) -> None:
    """Its progress is shown meanwhile, and how it is stopped."""
    three_open(queues)

    def act(means: Means) -> str:
        means.watch(Amount(7, 35))
        assert means.brake.wait(30)
        return "stopped: as the test asked"

    async def use(terminal: Terminal) -> None:
        await terminal.until("fme-")
        screen = terminal.app.screen
        screen.change(lambda _: Plan("Redrive much", ["all of it"], act, batches=10))  # type: ignore[attr-defined]
        await terminal.until("all of it")
        await terminal.press("y")
        await terminal.until("35 events in 7 batches so far")
        await terminal.press("escape")
        await terminal.until("stopped: as the test asked")
        assert "so far" not in terminal.text

    in_terminal(source_of(redis_url), use)


def test_an_event_is_shown_whole_and_without_the_key(queues: Queues, redis_url: str) -> None:
    """From the queue to a batch to an event: laid out, with the SDK key masked."""
    queue = queues.add()
    event = {"d": {"visId": "A" * 32, "event": {"name": "purchase", "props": {"key": KEY}}}}
    assert all(queue.enqueue_many([event] * 5))
    seen: list[str] = []

    async def use(terminal: Terminal) -> None:
        await walk(terminal, [])
        await terminal.press("enter")
        await terminal.until("1 batch in any state")
        await terminal.press("enter")
        seen.append(await terminal.until("events 1 to 5 of 5 events"))
        await terminal.press("enter")
        seen.append(await terminal.until('"name": "purchase"'))

    in_terminal(source_of(redis_url), use)

    assert "purchase" in seen[0]
    assert "A" * 32 in seen[0]
    assert json.dumps(KEY) not in "".join(seen)
    assert KEY not in "".join(seen)


def test_a_change_that_fails_says_so(queues: Queues, redis_url: str) -> None:
    """A queue that is gone by the time of the answer is told, and nothing else happens."""
    queue = three_open(queues)

    async def use(terminal: Terminal) -> None:
        await walk(terminal, [])
        queues.client.flushall()
        await terminal.press("f")
        await terminal.until(f"no queue '{queue.name}'")

    in_terminal(source_of(redis_url), use, seconds=10.0)
