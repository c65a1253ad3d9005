"""The tally of a queue: what workers did, counted in Redis with the settling of each batch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tools.selective_vwo import KEPT, Make, Vwo, proven, purge
from vwo_celery import signals
from vwo_celery.delivering.leases import Lease
from vwo_celery.queue.looks.tallies import Tally, read_tallies
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.words.counts import request
from vwo_celery.queue.work import sweeping
from vwo_celery.testing.standin.faults import FaultLike

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups", "suspect", "circuit")
#: Most events that VWO takes, and the event that it refuses.
MOST, BAD = 4, 13
#: What comes instead of its answers, one after the other; a hang costs a test its time.
TROUBLES = (
    None,
    503,
    None,
    None,
    "reset",
    None,
    401,
    503,
    None,
    "hang",
    None,
    None,
    401,
    None,
    503,
    503,
)
#: Words of the tally for the answers that are no status.
WORDS = {None: "200", "hang": "timeout", "reset": "connection"}
#: Longer than a busy machine takes for an answer.
TIMEOUT_SECONDS = 2.0


class Recording:
    """A VWO in trouble, which notes each request by the word of its answer."""

    def __init__(self, vwo: Vwo) -> None:
        self.answers: Counter[str] = Counter()
        self.events = 0
        self._vwo = vwo
        self._troubles = iter(TROUBLES)
        vwo.judge = self.judge

    def judge(self, numbers: list[int]) -> FaultLike:
        """What VWO answers to these events."""
        chosen = self._choose(numbers)
        self.answers[WORDS.get(chosen, str(chosen))] += 1
        self.events += len(numbers)
        return chosen

    def _choose(self, numbers: list[int]) -> Any:
        trouble = next(self._troubles, None)
        if trouble is not None:
            return trouble
        if len(numbers) > MOST:
            return 413
        return 400 if BAD in numbers else None


def tally_of(made: Any) -> Tally:
    """The tally of the queue's only shard."""
    (found,) = read_tallies([made.shard])
    return found


def test_the_sums_are_what_vwo_saw(make: Make, vwo: Vwo) -> None:
    """Through 200, 400, 401, 413, 503, resets and timeouts, each request is counted once, by its answer.

    And each batch of which VWO accepted events by its age, and each dead letter by what was the matter.
    """
    made = make(per_request=8, request_timeout_seconds=TIMEOUT_SECONDS, circuit_failures=2)
    proven(made)
    vwo.standin.requests.clear()
    seen = Recording(vwo)
    made.enqueue(*range(60))

    made.deliver_until(lambda: made.state.delivered == 60 and made.state.events("dead") == 1, 60)

    tally = tally_of(made)
    assert set(seen.answers) == {"200", "400", "401", "413", "503", "timeout", "connection"}
    assert Counter(tally.answers) == seen.answers + Counter({"200": 1})
    assert tally.requests == sum(tally.posts) == sum(tally.sizes) == len(vwo.standin.batches) + 1
    assert tally.size_events == seen.events + 1
    assert tally.post_ms >= 1_000 * TIMEOUT_SECONDS
    assert sum(tally.ages) == len(made.reports(signals.batch_delivered))
    assert tally.dead_by == {"rejected": 1}
    split, delivered, dead = (
        {each.batch for each in made.reports(signal)}
        for signal in (signals.batch_split, signals.batch_delivered, signals.batch_dead_lettered)
    )
    assert tally.split == len(split | delivered & dead)
    assert tally.opened >= 1
    assert tally.lost_leases == 0
    purge(made)


@pytest.mark.declared_keys(*KEPT)
def test_what_is_not_sent_is_no_request(make: Make, vwo: Vwo) -> None:
    """Events that cannot be sent are counted as dead, by what is the matter, and no request with them."""
    made = proven(make(per_request=2))
    before = tally_of(made)
    made.shard.client.lpush(made.shard.keys.open, b"no JSON", b"nor this")

    made.deliver_until(lambda: made.state.events("dead") == 2)

    tally = tally_of(made)
    assert (tally.answers, tally.posts, tally.sizes) == (before.answers, before.posts, before.sizes)
    assert tally.dead_by == {"unsendable": 2}
    purge(made)


@pytest.mark.declared_keys(*KEPT)
def test_a_batch_that_is_too_old_died_of_that(make: Make, vwo: Vwo) -> None:
    """A batch that VWO may accept one day, but not in time, is counted as too old."""
    made = make(per_request=2, max_batch_age_seconds=1)
    vwo.judge = lambda numbers: 503
    made.enqueue(1, 2)

    made.deliver_until(lambda: made.state.events("dead") == 2)

    assert tally_of(made).dead_by == {"too_old": 2}
    assert set(tally_of(made).answers) == {"503"}
    purge(made)


def test_a_worker_whose_own_way_fails_counts_its_tries(make: Make, vwo: Vwo) -> None:
    """A batch that a worker hands back, since its proxy fails, takes the count of the request along."""
    made = make(per_request=1)
    made.enqueue(1)
    lease = _claim_and_hand_back(made)

    assert tally_of(made).answers == {"proxy": 1}
    lease.count(request("200", seconds=0.1, events=1))
    assert lease.ack()  # VWO accepted what was in flight when the batch was handed back
    assert tally_of(made).answers == {"proxy": 1, "200": 1}


def _claim_and_hand_back(made: Any) -> Lease:
    sweeping.sweep_shard(made.shard, force=True)
    batch = made.shard.claim(token="", lease_seconds=60)
    assert isinstance(batch, Batch)
    lease = Lease(made.shard, batch, 0.0)
    lease.count(request("proxy", seconds=0.1, events=1))
    assert lease.hand_back()
    return lease
