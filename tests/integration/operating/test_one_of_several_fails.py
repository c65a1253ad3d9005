"""A change of several queues, of which one has a key that is somebody else's: the others are changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tools.queue_states import OPERATOR, Queues
from vwo_celery import Queue
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import Scan, find_dead
from vwo_celery.operating.operations import Order, count_dead, pause, purge, redrive, resume
from vwo_celery.operating.past.audit import changes

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
