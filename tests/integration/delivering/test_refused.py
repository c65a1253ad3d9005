"""Answers that refuse: a proven queue stops and heals by itself, and no batch stops it for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tools.selective_vwo import KEPT, Delivering, Make, Vwo, numbers_of, proven, purge
from vwo_celery import signals
from vwo_celery.delivering.bisection import MOST_PROVEN_REFUSALS, MOST_REFUSALS
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.holding.circuit import refusal_waits

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups", "suspect", "circuit")
#: Answers of a load balancer in a deploy, a firewall or a captive portal.
PASSING = (302, 401, 403, 404, 405, 410, 411, 417, 421, 431, 451, 499)


# -- refused


@pytest.mark.parametrize("status", PASSING)
def test_a_passing_answer_heals_without_a_person(make: Make, vwo: Vwo, status: int) -> None:
    """A queue that delivered before is not paused: it probes, and sends everything once it may."""
    made = proven(make(per_request=1))
    vwo.judge = lambda numbers: status
    made.enqueue(*range(20))
    made.deliver()
    assert made.state.held_until_ms
    vwo.judge = lambda numbers: None

    made.deliver_until(lambda: made.state.delivered == 21, 20)

    assert made.taken == Counter([*range(20), 100])
    assert made.state.paused == ""
    assert made.state.held_until_ms == 0
    assert made.state.balanced


@pytest.mark.declared_keys(*KEPT)
@pytest.mark.parametrize("status", [401, 404])
def test_a_key_that_is_wrong_costs_a_handful_of_requests(make: Make, vwo: Vwo, status: int) -> None:
    """Where VWO goes on refusing, the circuit opens after a few batches and asks no more for long."""
    made = proven(make(per_request=1, backoff_base_seconds=1, backoff_max_seconds=300))
    vwo.judge = lambda numbers: status
    made.enqueue(*range(200))

    for _ in range(50):
        made.deliver()

    assert made.statuses.count(status) == made.queue.settings.circuit_failures
    held_seconds = (made.state.held_until_ms - made.state.now_ms) / 1000
    waits = refusal_waits(made.queue.settings, key=status == 401)
    assert waits.first_seconds / 2 - 10 < held_seconds <= waits.first_seconds
    assert made.state.events("dead") == 0
    assert made.state.balanced


@pytest.mark.declared_keys(*KEPT)
def test_a_stop_tells_why_and_until_when(make: Make, vwo: Vwo) -> None:
    """The stop is noted with its cause, its reason and its beginning, and announced with its end."""
    made = proven(make(per_request=1, backoff_base_seconds=1, backoff_max_seconds=300))
    vwo.judge = lambda numbers: 403
    made.enqueue(*range(20))

    made.deliver()

    state = made.state
    assert (state.held_by, state.paused) == ("refusal", "")
    assert "403" in state.held_why
    assert 0 < state.held_ms <= state.now_ms
    (report,) = made.reports(signals.destination_paused)
    assert report.retry_in_seconds is not None
    assert 30 <= report.retry_in_seconds <= 60
    released = made.reports(signals.batch_released)
    assert len(released) == made.queue.settings.circuit_failures - 1


@pytest.mark.declared_keys(*KEPT)
def test_one_refused_batch_does_not_stop_the_others(make: Make, vwo: Vwo) -> None:
    """A batch that a firewall dislikes waits by itself, however often it is refused."""
    made = proven(make(per_request=1))
    vwo.judge = lambda numbers: 403 if 5 in numbers else None
    made.enqueue(5)
    made.deliver_until(lambda: made.statuses.count(403) >= 10)
    assert made.state.held_until_ms == 0

    made.enqueue(6)
    made.deliver_until(lambda: made.taken[6])

    assert made.state.held_until_ms == 0
    assert made.state.events("dead") == 0


@pytest.mark.declared_keys(*KEPT)
def test_before_the_first_delivery_a_person_is_needed(make: Make, vwo: Vwo) -> None:
    """A queue of which VWO never accepted anything is paused by the first refusal, as it was."""
    made = make(per_request=1)
    vwo.judge = lambda numbers: 404
    made.enqueue(*range(5))

    for _ in range(10):
        made.deliver()

    assert made.statuses == [404]
    assert "404" in made.state.paused
    assert made.state.paused_by == "refusal"
    assert made.state.paused_ms
    (report,) = made.reports(signals.destination_paused)
    assert report.retry_in_seconds is None


@pytest.mark.declared_keys(*KEPT)
def test_a_redis_that_came_back_empty_makes_no_new_queue(make: Make, vwo: Vwo, redis: Any) -> None:
    """A worker that has delivered remembers it, so that a passing 404 after a flush heals, too."""
    made = proven(make(per_request=1))
    redis.flushdb()
    vwo.judge = lambda numbers: 404
    made.enqueue(1)
    made.deliver()
    assert made.state.paused == ""
    vwo.judge = lambda numbers: None

    made.deliver_until(lambda: made.taken[1])


@pytest.mark.declared_keys(*KEPT, "meta")
def test_another_release_of_an_sdk_is_no_new_key(make: Make, vwo: Vwo) -> None:
    """The first queue of a deploy is proven if another of the same host, account and key delivered."""
    proven(make(per_request=1))
    made = make(per_request=1, sdk_version="9.9.9")
    vwo.judge = lambda numbers: 404
    made.enqueue(1)

    made.deliver()

    assert made.state.paused == ""
    vwo.judge = lambda numbers: None
    made.deliver_until(lambda: made.taken[1])


@pytest.mark.declared_keys(*KEPT)
def test_a_refusal_in_the_middle_of_a_search_keeps_the_rest(make: Make, vwo: Vwo) -> None:
    """A 401 during a search ends it: what was accepted is settled, the rest waits."""
    made = proven(make(per_request=8, backoff_base_seconds=60, backoff_max_seconds=60))
    answers: Iterator[int | None] = iter([400, None, 401])
    vwo.judge = lambda numbers: next(answers, None)

    made.enqueue(*range(8))
    made.deliver()

    assert made.taken == Counter([100, 0, 1, 2, 3])
    assert (made.state.events("released"), made.state.events("dead")) == (4, 0)
    assert made.state.balanced


# -- rejected as a whole


@pytest.mark.parametrize("per_request", [1, 8, 300])
def test_400_to_everything_heals_without_a_person(make: Make, vwo: Vwo, per_request: int) -> None:
    """Where VWO answers 400 to everything, nothing is dead-lettered, and all leaves afterwards."""
    made = proven(make(per_request=per_request))
    numbers = range(1_000, 1_000 + 6 * max(per_request, 100))
    vwo.judge = lambda numbers: 400
    made.enqueue(*numbers)

    for _ in range(40):
        made.deliver()
    refused = made.statuses.count(400)
    vwo.judge = lambda numbers: None
    made.deliver_until(lambda: made.state.delivered == 1 + len(numbers), 60)

    assert refused <= MOST_REFUSALS + 1 + 60
    assert made.state.events("dead") == 0
    assert made.taken == Counter([100, *numbers])
    assert made.state.balanced


@pytest.mark.parametrize("events", [1, 8, 300])
def test_a_batch_of_malformed_events_is_put_away_once_another_passes(
    make: Make, vwo: Vwo, events: int
) -> None:
    """A batch of which VWO refuses everything is to blame once another batch passed since."""
    made = proven(make(per_request=events, max_parallel_sends=1))
    vwo.judge = lambda numbers: 400 if min(numbers) < events else None
    made.enqueue(*range(events))
    made.deliver()
    assert made.state.events("dead") == 0

    made.enqueue(*range(1_000, 1_000 + events))
    made.deliver_until(lambda: made.state.events("dead") == events, 20)

    assert made.taken == Counter([100, *range(1_000, 1_000 + events)])
    assert made.statuses.count(400) <= MOST_REFUSALS + MOST_PROVEN_REFUSALS + 10
    assert (made.state.paused, made.state.held_until_ms) == ("", 0)
    assert made.state.balanced
    (dead,) = made.reports(signals.batch_dead_lettered)
    assert sorted(numbers_of(dead)) == list(range(events))
    purge(made)


def test_malformed_batches_never_stop_a_queue_for_ever(make: Make, vwo: Vwo) -> None:
    """With a release that makes only malformed events, every other batch is delivered all the same."""
    made = proven(make(per_request=4))
    vwo.judge = lambda numbers: 400 if min(numbers) < 1_000 else None
    for batch in range(12):
        made.enqueue(*range(4 * batch, 4 * batch + 4))
        made.enqueue(*range(1_000 + 4 * batch, 1_004 + 4 * batch))

    made.deliver_until(lambda: made.state.delivered == 1 + 48, 30)

    def all_put_away() -> bool:
        made.enqueue(*range(2_000, 2_004))
        return made.state.events("dead") == 48

    made.deliver_until(all_put_away, 30)
    made.deliver_until(lambda: len(made.state.batches) == 12)
    assert made.state.paused == ""
    assert made.state.balanced
    purge(made)


@pytest.mark.declared_keys(*KEPT)
def test_one_probe_is_one_request(make: Make, vwo: Vwo) -> None:
    """After a search in which VWO refused everything, a probe does not search again."""
    made = proven(make(per_request=8, circuit_failures=1))
    vwo.judge = lambda numbers: 400
    made.enqueue(*range(80))
    made.deliver_until(lambda: made.state.held_until_ms)
    before = made.statuses.count(400)

    for _ in range(3):
        count = made.statuses.count(400)
        made.deliver_until(lambda count=count: made.statuses.count(400) > count)

    assert made.statuses.count(400) <= before + 4


# -- proofs


def test_a_lone_poison_is_dead_lettered_once_another_batch_passes(make: Make, vwo: Vwo) -> None:
    """A refused batch of one event is dead-lettered once another batch is accepted meanwhile."""
    made = proven(make(per_request=1))
    vwo.judge = lambda numbers: 400 if 1 in numbers else None
    made.enqueue(1)
    made.deliver_until(lambda: made.statuses.count(400) >= 3)
    assert made.state.events("dead") == 0

    made.enqueue(2)
    made.deliver_until(lambda: made.state.events("dead") == 1)

    assert made.taken == Counter([100, 2])
    assert not made.state.paused
    purge(made)


@pytest.mark.declared_keys(*KEPT)
def test_a_batch_in_flight_at_the_refusal_proves_nothing(make: Make, vwo: Vwo) -> None:
    """An acceptance proves a refused batch guilty only if it was claimed after the refusal."""
    made = proven(make(per_request=1, max_parallel_sends=2))
    earlier = _claimed(made, 7)
    vwo.judge = lambda numbers: 400
    made.enqueue(1)
    made.deliver_until(lambda: made.statuses.count(400) >= 1)
    assert made.shard.ack(earlier.id, claimed_ms=earlier.claimed_ms)

    made.deliver_until(lambda: made.statuses.count(400) >= 4)

    assert made.state.events("dead") == 0


def _claimed(made: Delivering, number: int) -> Any:
    """A batch that another worker has claimed."""
    made.enqueue(number)
    producer_of(made.queue).shards[0].sweep(force=True, idle_ms=10**9)
    return made.shard.claim(token="", lease_seconds=60)


@pytest.mark.declared_keys(*KEPT)
def test_a_backlog_of_malformed_batches_hides_no_newer_ones(make: Make, vwo: Vwo) -> None:
    """Probes look at both ends of the backlog, so a release's bad hour does not delay what follows it."""
    made = proven(make(per_request=1, circuit_failures=1))
    vwo.judge = lambda numbers: 400 if numbers[0] < 60 else None
    made.enqueue(*range(60), *range(200, 220))

    made.deliver_until(lambda: made.state.delivered > 1)

    assert made.statuses.count(400) < 40  # by chance, one time in 10^12
    made.deliver_until(lambda: made.state.delivered == 21, 60)
    purge(made)
