"""A change of several queues, of which one has a key that is somebody else's: the others are changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tools.queue_states import OPERATOR, Queues
from vwo_celery import Queue
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import Scan, find_dead
from vwo_celery.operating.operations import (
    WAITING_STATES,
    Chosen,
    Order,
    count_dead,
    count_waiting,
    flush,
    pause,
    purge,
    purge_waiting,
    redrive,
    resume,
    retry_released,
)
from vwo_celery.operating.past.audit import changes
from vwo_celery.queue.words.keys import as_text

pytestmark = pytest.mark.declared_keys("*")


@pytest.fixture
def several(queues: Queues) -> list[Queue]:
    """Three queues, by name, each with a dead letter of five events and two open ones."""
    found = sorted((queues.add(account) for account in (1, 2, 3)), key=lambda each: each.name)
    for queue in found:
        queues.fill(queue, 7)
        queues.kill(queue, "HTTP 413")
    return found


def break_key(queues: Queues, queue: Queue, family: str) -> None:
    """Put another thing where a key of a queue belongs; what was there is kept aside."""
    key = getattr(queues.shard(queue).keys, family)
    if queues.client.exists(key):
        queues.client.rename(key, f"aside:{key}")
    queues.client.set(key, "somebody's")


def mend_key(queues: Queues, queue: Queue, family: str) -> None:
    """Put back what was there."""
    key = getattr(queues.shard(queue).keys, family)
    queues.client.delete(key)
    if queues.client.exists(f"aside:{key}"):
        queues.client.rename(f"aside:{key}", key)


@pytest.mark.parametrize("change", [pause, resume])
def test_the_other_queues_are_stopped_and_started(
    queues: Queues, several: list[Queue], change: Callable[..., list[str]]
) -> None:
    """Of three queues two are paused, or resumed, and the error says which was not."""
    registered = dict(queues.fleet.registrations().readable)
    if change is resume:
        pause(queues.fleet, OPERATOR, registered)
    break_key(queues, several[0], "meta")

    with pytest.raises(QueueUnavailable) as told:
        change(queues.fleet, OPERATOR, registered)

    mend_key(queues, several[0], "meta")
    word = f"{change.__name__}d".replace("ee", "e")
    assert f"{word} 2 queues, but not for {several[0].name}: " in str(told.value)
    assert "WRONGTYPE" in str(told.value)
    stopped = [queues.view(each).stopped is not None for each in several]
    assert stopped == ([False, True, True] if change is pause else [True, False, False])
    latest = changes(queues.fleet)[-1]
    assert (latest.result, latest.done, latest.matched) == ("failed", 2, 3)
    assert several[0].name not in latest.note


@pytest.mark.parametrize(("change", "word"), [(redrive, "redrove"), (purge, "purged")])
def test_the_other_dead_letters_are_changed(
    queues: Queues, several: list[Queue], change: Callable[..., object], word: str
) -> None:
    """Of three dead letters two are sent again, or dropped, and the error says which was not."""
    registered = queues.fleet.registrations().readable
    found = [*find_dead(queues.fleet, registered, Filter(), Scan())]
    counted = count_dead(found, queues.fleet.now_ms())
    family = "ready" if change is redrive else "arrived"
    break_key(queues, several[0], family)

    with pytest.raises(QueueUnavailable) as told:
        change(queues.fleet, OPERATOR, found, Order(counted))

    mend_key(queues, several[0], family)
    assert f"{word} 10 events, but not for {several[0].name}: " in str(told.value)
    assert [queues.view(each).dead for each in several] == [5, 0, 0]
    latest = changes(queues.fleet)[-1]
    assert (latest.result, latest.done, latest.matched) == ("failed", 10, 15)


def test_a_redis_that_refuses_all_ends_the_change(queues: Queues, several: list[Queue]) -> None:
    """What concerns all of Redis is no trouble of one queue: the change ends at once."""
    registered = queues.fleet.registrations().readable
    found = [*find_dead(queues.fleet, registered, Filter(), Scan())]
    counted = count_dead(found, queues.fleet.now_ms())
    queues.client.execute_command("ACL", "SETUSER", "default", "-zadd")

    try:
        with pytest.raises(QueueUnavailable) as told:
            redrive(queues.fleet, OPERATOR, found, Order(counted))
    finally:
        queues.client.execute_command("ACL", "SETUSER", "default", "+@all")

    assert "but not for" not in str(told.value)
    assert [queues.view(each).dead for each in several] == [5, 5, 5]


@pytest.mark.parametrize("change", [pause, resume])
def test_each_shard_that_can_be_changed_is(
    queues: Queues, change: Callable[..., list[str]]
) -> None:
    """Of a queue with one broken shard the others are stopped and started; it counts as not changed."""
    queue, other = queues.add(shards=3), queues.add(account=2)
    registered = dict(queues.fleet.registrations().readable)
    if change is resume:
        pause(queues.fleet, OPERATOR, registered)
    break_key(queues, queue, "meta")

    with pytest.raises(QueueUnavailable) as told:
        change(queues.fleet, OPERATOR, registered)

    paused = [
        bool(queues.client.hexists(queues.shard(each, n).keys.meta, "paused"))
        for each, n in ((queue, 1), (queue, 2), (other, 0))
    ]
    assert paused == 3 * [change is pause]
    word = f"{change.__name__}d".replace("ee", "e")
    assert f"{word} 1 queue, but not for {queue.name}: " in str(told.value)
    assert changes(queues.fleet)[-1].done == 1


def test_what_is_changed_but_wakes_nobody_is_told_as_changed(
    queues: Queues, several: list[Queue]
) -> None:
    """Where only the wake-up fails, all three count, and the error says whose workers sleep on."""
    registered = dict(queues.fleet.registrations().readable)
    found = [*find_dead(queues.fleet, registered, Filter(), Scan())]
    order = Order(count_dead(found, queues.fleet.now_ms()))
    pause(queues.fleet, OPERATOR, registered)
    break_key(queues, several[0], "open")

    with pytest.raises(QueueUnavailable) as of_redrive:
        redrive(queues.fleet, OPERATOR, found, order)
    with pytest.raises(QueueUnavailable) as of_resume:
        resume(queues.fleet, OPERATOR, registered)

    asleep = f", but no worker was woken for {several[0].name}: sweep of "
    assert f"redrove 15 events{asleep}" in str(of_redrive.value)
    assert f"resumed 3 queues{asleep}" in str(of_resume.value)
    assert [each.done for each in changes(queues.fleet)[-2:]] == [15, 3]


def test_no_batch_is_sent_again_of_a_shard_that_cannot_be_watched(
    queues: Queues, several: list[Queue]
) -> None:
    """Not the first one, nor those after it: no sweep would come by their shard."""
    queues.fill(several[0], 5)
    queues.kill(several[0], "HTTP 413")
    found = [*find_dead(queues.fleet, queues.fleet.registrations().readable, Filter(), Scan())]
    queues.client.delete(queues.fleet.keys.watched)
    queues.client.set(queues.fleet.keys.watched, "somebody's")

    with pytest.raises(QueueUnavailable) as told:
        redrive(queues.fleet, OPERATOR, found, Order(count_dead(found, queues.fleet.now_ms())))

    queues.client.delete(queues.fleet.keys.watched)
    assert "redrove 0 events, but not for " in str(told.value)


@pytest.mark.parametrize("family", ["open", "meta", "ready", "info"])
def test_the_other_queues_are_flushed(queues: Queues, several: list[Queue], family: str) -> None:
    """All shards but the broken one are flushed, and the result says which queue it is of."""
    queue = queues.add(account=4, shards=2, events_per_request=100)
    assert all(queue.enqueue({"n": n}) for n in range(40))  # each to either shard
    break_key(queues, queue, family)

    done = flush(queues.fleet, OPERATOR)

    waiting = [queues.view(each).ready for each in several]
    assert (waiting, done.broken, done.left, done.hopeless) == ([2, 2, 2], {queue.name}, True, True)
    assert [done.counts[each.name].pending for each in several] == [2, 2, 2]
    told = done.counts[queue.name].reason
    assert "could not be flushed" in told
    assert "WRONGTYPE" in told
    assert done.counts[queue.name].pending == queues.client.llen(_sealed(queues, queue)) > 0
    latest = changes(queues.fleet)[-1]
    assert latest.done == 6
    assert queue.name in latest.note


def _sealed(queues: Queues, queue: Queue) -> str:
    """The key of the one batch of its second shard."""
    keys = queues.shard(queue, 1).keys
    (batch,) = queues.client.zrange(keys.ready, 0, -1)
    return keys.batch(as_text(batch))


def test_a_queue_that_cannot_be_read_is_not_told_as_empty(
    queues: Queues, several: list[Queue]
) -> None:
    """A flush of it alone tells why nothing of it was sent."""
    break_key(queues, several[0], "meta")

    done = flush(queues.fleet, OPERATOR, [several[0].name])

    assert [*done.counts] == [several[0].name]
    assert (done.left, done.hopeless, done.sealed) == (True, True, False)


@pytest.mark.parametrize("family", ["open", "ready"])
def test_what_waits_elsewhere_is_purged(queues: Queues, several: list[Queue], family: str) -> None:
    """A shard that cannot be read is left out and named, and the others' events are dropped."""
    chosen = Chosen(queues.fleet.registrations().readable, WAITING_STATES)
    break_key(queues, several[0], family)

    counted = count_waiting(queues.fleet, chosen)
    done = purge_waiting(queues.fleet, OPERATOR, chosen, counted)

    (left_out,) = counted.unreadable
    assert left_out.startswith(f"{several[0].name}:0: ")
    assert done.changed.events == counted.events == 4
    mend_key(queues, several[0], family)
    assert [queues.view(each).open for each in several] == [2, 0, 0]


def test_other_queues_are_tried_again_at_once(queues: Queues, several: list[Queue]) -> None:
    """Of three released batches two are due, and the error says of which queue one is not."""
    for queue in several:
        queues.fill(queue, 3)
        queues.release(queue, "HTTP 503")
    break_key(queues, several[0], "ready")

    with pytest.raises(QueueUnavailable, match=f"10 events due, but not for {several[0].name}: "):
        retry_released(queues.fleet, OPERATOR, queues.fleet.registrations().readable)

    assert changes(queues.fleet)[-1].done == 10


def test_what_is_due_but_wakes_nobody_is_told_as_due(queues: Queues, several: list[Queue]) -> None:
    """All three are due, and the error says whose workers sleep on."""
    for queue in several:
        queues.fill(queue, 3)
        queues.release(queue, "HTTP 503")
    break_key(queues, several[0], "open")

    with pytest.raises(QueueUnavailable) as told:
        retry_released(queues.fleet, OPERATOR, queues.fleet.registrations().readable)

    asleep = f", but no worker was woken for {several[0].name}: sweep of "
    assert f"made 15 events due{asleep}" in str(told.value)
    assert changes(queues.fleet)[-1].done == 15
