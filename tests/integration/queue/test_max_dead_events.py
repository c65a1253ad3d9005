"""Dead letters are bounded: beyond max_dead_events the oldest are dropped, and no others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import vwo_celery
from tools.drops import Drops
from tools.producers import KEPT
from tools.queue_states import Queues
from vwo_celery.queue.capacity import DEAD_LETTERS_FULL, trim_dead

pytestmark = pytest.mark.declared_keys(*KEPT, "dead", "leases")


def dead_queue(queues: Queues, batches: int, *, each: int = 5) -> vwo_celery.Queue:
    """A queue with the given number of dead batches, and one batch that is not dead."""
    queue = queues.add(events_per_request=each)
    queues.fill(queue, each * (batches + 1))
    for _ in range(batches):
        queues.kill(queue, "too old")
    return queue


def test_the_oldest_dead_letters_go(queues: Queues, drops: Drops) -> None:
    """The oldest dead batches are dropped until the rest is within the bound; other batches stay."""
    queue = dead_queue(queues, 4)
    oldest_first = queues.client.zrange(queues.shard(queue).keys.dead, 0, -1)

    dropped = trim_dead([queues.shard(queue)], 12)

    assert dropped == 10
    view = queues.view(queue)
    assert (view.dead, view.dead_batches, view.ready) == (10, 2, 5)
    assert view.dropped == {DEAD_LETTERS_FULL: 10}
    assert view.ledger.balanced
    assert drops == [(queue.name, DEAD_LETTERS_FULL, 10)]
    assert queues.client.zrange(queues.shard(queue).keys.dead, 0, -1) == oldest_first[2:]


@pytest.mark.parametrize(("most", "left"), [(20, 20), (19, 15), (4, 0), (0, 0)])
def test_a_bound_is_a_bound(queues: Queues, most: int, left: int) -> None:
    """The bound may be reached exactly; a single batch above it is dropped; 0 keeps none."""
    queue = dead_queue(queues, 4)

    dropped = trim_dead([queues.shard(queue)], most)

    assert (dropped, queues.view(queue).dead) == (20 - left, left)


def test_a_second_trim_drops_nothing(queues: Queues, drops: Drops) -> None:
    """Within the bound, a trim drops and logs nothing."""
    queue = dead_queue(queues, 2)
    trim_dead([queues.shard(queue)], 5)
    drops.clear()

    assert trim_dead([queues.shard(queue)], 5) == 0

    assert drops == []


def test_workers_that_trim_at_once_drop_no_more(queues: Queues) -> None:
    """Workers that trim at once drop no more than one alone: only while the bound is exceeded."""
    queue = dead_queue(queues, 30, each=1)
    shard = queues.shard(queue)

    with ThreadPoolExecutor(4) as workers:
        dropped = list(workers.map(lambda _: trim_dead([shard], 7), range(4)))

    assert sum(dropped) == 23
    assert queues.view(queue).dead == 7


def test_one_trim_is_bounded(queues: Queues) -> None:
    """One trim drops a bounded number: a much lower bound does not keep a worker from sending."""
    queue = dead_queue(queues, 120, each=1)

    answers = [trim_dead([queues.shard(queue)], 0) for _ in range(3)]

    assert answers == [100, 20, 0]
