"""A queue's past: what came, what left and what waited, step by step, from its samples.

Beside an event's way. Samples are cumulative, so a step whose samples are missing is told as one
longer step, never as zero. Reads only: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from operator import sub
from typing import Any

import msgspec

from vwo_celery.operating.looks.inspector import shards_of
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.operating.past import planning
from vwo_celery.operating.past.planning import Plan
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.histories import PERIODS, Period, Sample, read_samples
from vwo_celery.queue.words.buckets import AGE_BOUNDS_SECONDS, percentile
from vwo_celery.queue.words.registration import Registration

#: Counters that only grow; where one falls, Redis lost it or the queue was forgotten.
_GROWING = ("accepted", "delivered", "dropped", "refused", "tries", "failed")
#: Spans by their names, in seconds.
SPANS = {
    "15m": 900, "1h": 3_600, "8h": 28_800, "24h": 86_400, "7d": 604_800, "90d": 7_776_000,
}  # fmt: skip
#: Those of them that a look at a queue tells.
_KNOWN_SOON = ("accepted", "delivered", "dropped", "refused")
#: Minutes for which a queue that holds something has a sample.
_LATELY_PERIODS = 2
#: Time that a plan goes by, ms.
_PLANNED_MS = 3_600_000
_SUMMED = (*_GROWING, "dead", "undelivered", "bytes")


class Step(msgspec.Struct, frozen=True):
    """One step of a queue's history; numbers are events, unless said otherwise.

    Attributes:
        at_ms: Unix ms of its end.
        seconds: Its length; longer than usual where samples are missing.
        accepted: Accepted in it; None, as the next three, if the counters began anew in it.
        delivered: Delivered in it.
        dropped: Dropped in it.
        refused: Refused in it, since the queue was full.
        dead: In dead letters at its end.
        undelivered: Open, ready, released or in flight at its end.
        bytes: Size of the undelivered events.
        oldest_seconds: Age of the oldest of them; 0 if there was none.
        stopped: Whether the queue was paused or its circuit open at its end.
        tries: Requests to VWO in it; None, as the next, if the counters began anew.
        failed: Those of them that VWO did not accept.
        ages: Batches that VWO accepted in it by the age of their oldest event, in the buckets of
            `AGE_BOUNDS_SECONDS`; None if the counters began anew, and where no ages are kept: they
            are in samples by the minute alone.
    """

    at_ms: int
    seconds: float
    accepted: int | None
    delivered: int | None
    dropped: int | None
    refused: int | None
    dead: int
    undelivered: int
    bytes: int
    oldest_seconds: float
    stopped: bool
    tries: int | None = None
    failed: int | None = None
    ages: tuple[int, ...] | None = None

    def age_at_delivery(self, share: float) -> float | None:
        """The age that a share, from 0 to 1, of its batches did not exceed when VWO had accepted them.

        It is the age of a batch's oldest event, in seconds; None where no ages are kept, and where VWO
        accepted nothing.
        """
        return None if self.ages is None else percentile(AGE_BOUNDS_SECONDS, self.ages, share)


class QueueHistory(msgspec.Struct, frozen=True):
    """The history of one queue.

    Attributes:
        queue: Its name.
        period_seconds: Time between two samples.
        steps: Its steps, the oldest first; none if there are less than two samples.
    """

    queue: str
    period_seconds: float
    steps: tuple[Step, ...]


def period_for(span_seconds: float) -> Period:
    """The finest samples that cover such a span; the coarsest if none does."""
    return next((each for each in PERIODS if each.span_seconds >= span_seconds), PERIODS[-1])


def view_history(
    fleet: Fleet, registered: Mapping[str, Registration], *, span_seconds: float
) -> list[QueueHistory]:
    """The history of these queues over the span that ends now.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    period = period_for(span_seconds)
    since_ms = max(0, fleet.now_ms() - int(span_seconds * 1000) - period.period_ms)
    shards = shards_of(fleet, registered)
    found = iter(
        read_samples(fleet, [shard for each in shards.values() for shard in each], period, since_ms)
    )
    return [
        QueueHistory(
            queue, period.period_ms / 1000, tuple(steps_of(summed([next(found) for _ in those])))
        )
        for queue, those in shards.items()
    ]


def view_sum(
    fleet: Fleet, registered: Mapping[str, Registration], *, span_seconds: float
) -> QueueHistory:
    """The history of all these queues together, as that of one queue without a name.

    It was stopped at a time when every one of them was.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    period = period_for(span_seconds)
    since_ms = max(0, fleet.now_ms() - int(span_seconds * 1000) - period.period_ms)
    queues = shards_of(fleet, registered)
    shards = [shard for those in queues.values() for shard in those]
    samples = read_samples(fleet, shards, period, since_ms) if shards else []
    return QueueHistory("", period.period_ms / 1000, tuple(steps_of(summed(samples, stopped=min))))


def view_running(
    fleet: Fleet, registered: Mapping[str, Registration], views: Sequence[QueueView], now_ms: int
) -> Step | None:
    """The step of these queues together that has not ended: from their last samples until now.

    A queue that was not sampled lately holds nothing, so nothing of it came or left. Requests to VWO
    and ages are not known before the next sample.

    Args:
        fleet: The queues.
        registered: Their registrations.
        views: Looks at them.
        now_ms: Redis' time of these looks.

    Returns:
        The step; None if none of them was sampled lately.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    known = {view.queue: view for view in views if view.queue in registered}
    shards = shards_of(fleet, {queue: registered[queue] for queue in known})
    since_ms = now_ms - _LATELY_PERIODS * PERIODS[0].period_ms
    found = iter(
        read_samples(
            fleet, [each for those in shards.values() for each in those], PERIODS[0], since_ms
        )
    )
    steps = []
    for queue, those in shards.items():
        samples = [next(found) for _ in those]
        if all(samples):
            steps.append(_running(summed(samples)[-1], known[queue], now_ms))
    return _together(steps, list(known.values())) if steps else None


def _running(last: Sample, view: QueueView, now_ms: int) -> Step:
    ledger = view.ledger
    grown: dict[str, Any] = {
        "accepted": ledger.accepted - last.accepted,
        "delivered": ledger.delivered - last.delivered,
        "dropped": ledger.dropped - last.dropped,
        "refused": view.refused - last.refused,
    }
    anew = min(grown.values()) < 0
    return Step(
        at_ms=now_ms, seconds=max(0, now_ms - last.at_ms) / 1000, dead=view.dead,
        undelivered=view.undelivered, bytes=view.bytes,
        oldest_seconds=view.oldest_age_seconds or 0.0, stopped=view.stopped is not None,
        **{name: None if anew else more for name, more in grown.items()},
    )  # fmt: skip


def _together(steps: Sequence[Step], views: Sequence[QueueView]) -> Step:
    """Several queues' steps that have not ended as one, with what all queues hold."""
    sums = {name: [getattr(step, name) for step in steps] for name in _KNOWN_SOON}
    return msgspec.structs.replace(
        steps[0],
        seconds=max(step.seconds for step in steps),
        dead=sum(view.dead for view in views),
        undelivered=sum(view.undelivered for view in views),
        bytes=sum(view.bytes for view in views),
        oldest_seconds=max(view.oldest_age_seconds or 0.0 for view in views),
        stopped=all(view.stopped for view in views),
        **{name: None if None in those else sum(those) for name, those in sums.items()},
    )


def view_plans(
    fleet: Fleet, registered: Mapping[str, Registration], *, age_seconds: float | None = None
) -> list[Plan]:
    """What other sizes and intervals would have meant for the last hour; see `planning.plan`.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    since_ms = max(0, fleet.now_ms() - _PLANNED_MS)
    plans = []
    for queue, shards in shards_of(fleet, registered).items():
        samples = read_samples(fleet, shards, PERIODS[0], since_ms)
        limits = registered[queue].limits
        plans.append(planning.plan(queue, samples, limits, age_seconds=age_seconds))
    return plans


def summed(
    shards: Sequence[Sequence[Sample]], *, stopped: Callable[[Iterable[int]], int] = max
) -> list[Sample]:
    """The samples of a queue: at each time, the sum over its shards of their last samples.

    A shard is not sampled while it holds nothing for long; nothing of it changes then.

    Args:
        shards: The samples of each shard, the oldest first.
        stopped: Whether it counts as stopped: `max` if any shard is, `min` if all of them are.
    """
    at = sorted({each.at_ms for samples in shards for each in samples})
    total = []
    places = [0] * len(shards)
    for at_ms in at:
        last = []
        for number, samples in enumerate(shards):
            while places[number] < len(samples) and samples[places[number]].at_ms <= at_ms:
                places[number] += 1
            if samples:
                last.append(samples[max(0, places[number] - 1)])
        sums = {name: sum(getattr(each, name) for each in last) for name in _SUMMED}
        oldest_ms = max(each.oldest_ms for each in last)
        ages = _sum_of([each.ages for each in last])
        total.append(
            Sample(
                at_ms, oldest_ms=oldest_ms, stopped=stopped(each.stopped for each in last),
                ages=ages, **sums,
            )
        )  # fmt: skip
    return total


def _sum_of(counts: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
    known = [each for each in counts if each is not None]
    return tuple(map(sum, zip(*known, strict=True))) if len(known) == len(counts) else None


def steps_of(samples: Sequence[Sample]) -> list[Step]:
    """The steps between successive samples."""
    return [_step(before, after) for before, after in pairwise(samples)]


def _step(before: Sample, after: Sample) -> Step:
    grown = {name: getattr(after, name) - getattr(before, name) for name in _GROWING}
    ages = _ages_between(before.ages, after.ages)
    anew = min(*grown.values(), *(ages or ())) < 0
    return Step(
        at_ms=after.at_ms,
        seconds=(after.at_ms - before.at_ms) / 1000,
        dead=after.dead,
        undelivered=after.undelivered,
        bytes=after.bytes,
        oldest_seconds=after.oldest_ms / 1000,
        stopped=bool(after.stopped),
        ages=None if anew else ages,
        **{name: None if anew else more for name, more in grown.items()},
    )


def _ages_between(
    before: tuple[int, ...] | None, after: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    if before is None or after is None:
        return None
    return tuple(map(sub, after, before))


def coarser(steps: Sequence[Step], most: int) -> list[Step]:
    """The same history in at most *most* steps, the last one ending where the last one ended."""
    size = -(-len(steps) // most) if steps else 1
    first = len(steps) % size
    parts = [steps[:first]] if first else []
    parts += [steps[start : start + size] for start in range(first, len(steps), size)]
    return [_joined(part) for part in parts]


def _joined(part: Sequence[Step]) -> Step:
    grown = {name: [getattr(step, name) for step in part] for name in _GROWING}
    sums = {name: None if None in those else sum(those) for name, those in grown.items()}
    return msgspec.structs.replace(
        part[-1],
        seconds=sum(step.seconds for step in part),
        oldest_seconds=max(step.oldest_seconds for step in part),
        stopped=any(step.stopped for step in part),
        ages=_sum_of([step.ages for step in part]),
        **sums,
    )
