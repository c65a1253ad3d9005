"""Batches of a queue by their state, their events by pages, and a queue's state in one word."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tools.queue_states import OPERATOR, Queues
from vwo_celery import Queue
from vwo_celery.operating import operations
from vwo_celery.operating.batches.listing import BATCH_STATES, State, events_in, list_batches
from vwo_celery.operating.looks.states import state_of

pytestmark = pytest.mark.declared_keys("*")
Bring = Callable[[Queues, Queue], object]


def in_every_state(queues: Queues) -> Queue:
    """A queue with one batch in flight, one ready, one released and one dead."""
    queue = queues.add()
    queues.fill(queue, 20)
    queues.kill(queue, "HTTP 413")
    queues.release(queue, "HTTP 503", delay_seconds=3600)
    queues.claim(queue)
    return queue


@pytest.mark.parametrize("state", BATCH_STATES)
def test_batches_are_listed_by_their_state(queues: Queues, state: State) -> None:
    """Each batch is in the list of its state, with its numbers and its reason, and in no other."""
    queue = in_every_state(queues)

    (found,) = list_batches(queues.fleet, queue.name, queues.registered[queue.name], state, 9)

    reason = {"dead": "HTTP 413", "released": "HTTP 503"}.get(state, "")
    assert (found.state, found.events, found.reason) == (state, 5, reason)
    assert found.attempts == (0 if state == "ready" else 1)
    assert (found.at_seconds > 0) == (state in ("in_flight", "released"))
    assert found.oldest_age_seconds is not None


def test_a_list_is_cut_at_its_end(queues: Queues) -> None:
    """The batches that leave first are listed, the latest dead letters, and no more than asked for."""
    queue = queues.add(shards=2)
    queues.fill(queue, 40)
    registration = queues.registered[queue.name]

    found = list_batches(queues.fleet, queue.name, registration, "ready", 3)
    every = list_batches(queues.fleet, queue.name, registration, "ready", 99)

    assert [each.batch for each in found] == [each.batch for each in every[:3]]
    assert len(every) == 8


def test_events_of_a_batch_come_by_pages(queues: Queues) -> None:
    """From any place on, so many; none of a batch that is gone."""
    queue = queues.add()
    queues.fill(queue, 5)
    (found,) = list_batches(queues.fleet, queue.name, queues.registered[queue.name], "ready", 9)

    assert events_in(queues.fleet, found, 1, 2) == [b'{"n":1}', b'{"n":2}']
    queues.deliver(queue)
    assert events_in(queues.fleet, found, 0, 9) == []


def paused(queues: Queues, queue: Queue) -> None:
    """An operator has paused it."""
    operations.pause(queues.fleet, OPERATOR, queues.registered, "as a test")


STATES: list[tuple[str, Bring]] = [
    ("empty", lambda queues, queue: None),
    ("ok", lambda queues, queue: queues.fill(queue, 2)),
    ("late", lambda queues, queue: (queues.fill(queue, 2), queues.age_open(queue, 3600))),
    ("failing", lambda queues, queue: (queues.fill(queue, 5), queues.release(queue, "HTTP 503"))),
    ("dead letters", lambda queues, queue: (queues.fill(queue, 5), queues.kill(queue, "HTTP 413"))),
    ("paused", paused),
    (
        "out of balance",
        lambda queues, queue: queues.client.hincrby(queues.shard(queue).keys.meta, "delivered", 1),
    ),
]


@pytest.mark.parametrize(("word", "bring"), STATES, ids=[word for word, _ in STATES])
def test_a_queue_has_its_state_in_one_word(queues: Queues, word: str, bring: Bring) -> None:
    """The worst that is true of it is its state."""
    queue = queues.add()
    bring(queues, queue)

    assert state_of(queues.view(queue), queues.settings).word == word
