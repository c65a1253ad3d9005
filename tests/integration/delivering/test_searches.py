"""A batch that VWO refuses is searched for the events to blame; all else of it is delivered once."""

from __future__ import annotations

from collections import Counter

import pytest

from tools.selective_vwo import KEPT, Make, Vwo, numbers_of, proven, purge
from vwo_celery import signals
from vwo_celery.producing.queue import producer_of

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups")


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("poison", [{0}, {7}, {3, 4}, {1, 2, 6}])
def test_only_the_poison_is_dead_lettered(
    make: Make, vwo: Vwo, poison: set[int], status: int
) -> None:
    """Only the refused events are dead-lettered; everything else of the batch is delivered once."""
    made = proven(make(per_request=8))
    vwo.judge = lambda numbers: status if poison & set(numbers) else None

    made.enqueue(*range(8))
    made.deliver()

    assert made.taken == Counter({100: 1, **{n: 1 for n in range(8) if n not in poison}})
    assert made.state.events("dead") == len(poison)
    assert made.state.balanced
    assert not made.state.paused
    (dead,) = made.reports(signals.batch_dead_lettered)
    assert numbers_of(dead) == sorted(poison)
    purge(made)


@pytest.mark.declared_keys(*KEPT)
def test_nothing_is_searched_before_the_first_success(make: Make, vwo: Vwo) -> None:
    """A destination that never accepted anything is taken to be misconfigured: nothing is searched."""
    made = make(per_request=8)
    vwo.judge = lambda numbers: 400

    made.enqueue(*range(8))
    made.deliver()

    assert made.statuses == [400]
    assert made.state.paused
    assert made.state.counted_events == 8


def test_a_success_of_another_shard_counts(make: Make, vwo: Vwo) -> None:
    """A delivery from another shard counts, since the destination is the same."""
    made = make(per_request=8, shards=2)
    producer_of(made.queue).shards = producer_of(made.queue).shards[:1]
    proven(made)
    producer_of(made.queue).shards = [producer_of(made.queue).fleet.shard(made.queue.name, 1)]
    vwo.judge = lambda numbers: 400 if 5 in numbers else None

    made.enqueue(*range(8))
    made.deliver()

    assert made.taken == Counter([100, 0, 1, 2, 3, 4, 6, 7])
    (dead,) = [batch for batch in made.state.batches if batch.state == "dead"]
    made.shard.purge(dead.id)


def test_a_search_that_an_outage_ends_loses_and_repeats_nothing(make: Make, vwo: Vwo) -> None:
    """After a 503 ends a search, accepted events are settled; the rest is released and searched again."""
    made = proven(make(per_request=8))
    sent: list[int] = []

    def judge(numbers: list[int]) -> int | None:
        sent.append(len(numbers))
        if len(sent) == 3:  # the batch, its first half, and now
            return 503
        return 400 if 6 in numbers else None

    vwo.judge = judge
    made.worker.stopping = lambda: len(sent) >= 3
    made.enqueue(*range(8))
    made.deliver()
    assert made.state.balanced
    assert made.taken == Counter([100, 0, 1, 2, 3])

    made.worker.stopping = lambda: False
    made.deliver_until(lambda: made.state.events("dead") == 1)

    assert made.taken == Counter([100, 0, 1, 2, 3, 4, 5, 7])
    assert made.state.balanced
    purge(made)


def test_a_worker_that_stops_in_a_search_keeps_what_it_found(make: Make, vwo: Vwo) -> None:
    """A worker that stops during a search settles what was accepted so far; it is not sent again."""
    made = proven(make(per_request=8))
    asked: list[int] = []
    made.worker.stopping = lambda: len(asked) >= 2

    def judge(numbers: list[int]) -> int | None:
        asked.append(len(numbers))
        return 400 if 6 in numbers else None

    vwo.judge = judge
    made.enqueue(*range(8))
    made.deliver()
    assert made.taken == Counter([100, 0, 1, 2, 3])
    assert made.state.pending == 4

    made.worker.stopping = lambda: False
    made.deliver()

    assert made.taken == Counter([100, 0, 1, 2, 3, 4, 5, 7])
    assert made.state.balanced
    purge(made)


def test_dead_letters_are_bounded(make: Make, vwo: Vwo) -> None:
    """Beyond max_dead_events, the oldest dead letters are counted as dropped."""
    made = proven(make(per_request=4, max_dead_events=2))
    vwo.judge = lambda numbers: 400 if set(numbers) & {1, 5, 9} else None

    made.enqueue(*range(12))
    made.deliver()

    assert made.state.events("dead") == 2
    assert made.state.dropped == {"dead_letters_full": 1}
    assert made.state.balanced
    purge(made)
