"""Planning of `events_per_request` and `request_time_interval`: requests an hour against waiting.

Beside an event's way. A pure calculation on what came in each minute of the last hour: nothing to
lose. Within a minute events are taken to come evenly; a batch begins with its first event, and
leaves when it is full or that event is as old as the interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import msgspec

from vwo_celery.operating.past.memory import Outage, after_outage
from vwo_celery.queue.records.histories import Sample
from vwo_celery.queue.words.batches import Limits

#: Sizes and intervals (in seconds) that a plan compares, beside those in force.
SIZES = (1, 10, 50, 100, 250, 500, 1000, 2500, 5000)
INTERVALS = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
#: Share by which ages or requests may differ and still count as the same.
_SAME = 0.01

Limit = Literal["events", "interval", "bytes"]


class Arrivals(NamedTuple):
    """Events that came to one shard in one step of its history."""

    events: int
    seconds: float


class Choice(msgspec.Struct, frozen=True):
    """What one choice of both options would have meant.

    Attributes:
        events_per_request: The size of a full batch.
        request_time_interval: The interval, in seconds.
        requests_an_hour: Requests to VWO in an hour.
        age_p50_seconds: Age at which half of the events would have left, or younger.
        age_p95_seconds: The same for 95 of 100.
        limit: The limit that most batches met first: "events" if they were full, "interval", or
            "bytes" where the size of a request's body binds.
    """

    events_per_request: int
    request_time_interval: float
    requests_an_hour: float
    age_p50_seconds: float
    age_p95_seconds: float
    limit: Limit


class Plan(msgspec.Struct, frozen=True):
    """The choices for one queue.

    Attributes:
        queue: Its name.
        seconds: Time that was looked at; 0 if there is no history yet.
        events: Events that came in it.
        event_bytes: Mean size of an event; None if none waited at any sample.
        current: The choice in force.
        recommended: The one with the fewest requests whose age_p95_seconds is not over the wanted;
            None if no event came.
        choices: All that were compared, by size and interval.
        busiest_events_a_second: Events that came in a second of the busiest minute.
        post_seconds: Longest mean time of a request at which max_parallel_sends keep up with that
            minute, with the choice in force; None if no event came.
        outage: What an outage leaves, where that was asked; None also if no event waited at any sample.
    """

    queue: str
    seconds: float
    events: int
    event_bytes: float | None
    current: Choice | None
    recommended: Choice | None
    choices: tuple[Choice, ...]
    busiest_events_a_second: float
    post_seconds: float | None
    outage: Outage | None = None


class _Group(NamedTuple):
    """Events that leave alike: in batches of `size`, of which the oldest is `age_seconds` old."""

    events: int
    size: float
    age_seconds: float


def arrivals_of(samples: Sequence[Sample]) -> list[Arrivals]:
    """What came between successive samples of one shard; nothing where its counters began anew."""
    return [
        Arrivals(max(0, after.accepted - before.accepted), (after.at_ms - before.at_ms) / 1000)
        for before, after in pairwise(samples)
    ]


def plan(
    queue: str,
    shards: Sequence[Sequence[Sample]],
    limits: Limits,
    *,
    age_seconds: float | None = None,
) -> Plan:
    """Compare choices of both options for what came to a queue.

    Args:
        queue: Its name.
        shards: The samples of each of its shards, the oldest first.
        limits: The limits in force.
        age_seconds: The wanted age_p95_seconds; None for that of the choice in force.
    """
    came = [each for samples in shards for each in arrivals_of(samples)]
    seconds = max((sum(a.seconds for a in arrivals_of(samples)) for samples in shards), default=0.0)
    events = sum(each.events for each in came)
    event_bytes = _event_bytes(shards)
    per_body = limits.batch_bytes / event_bytes if event_bytes else float("inf")
    parts = [each for each in came if each.events]
    if not parts or not seconds:
        return Plan(queue, seconds, events, event_bytes, None, None, (), 0.0, None)
    now = (limits.events_per_request, limits.interval_ms / 1000)
    others = {(size, wait) for size in SIZES for wait in INTERVALS} - {now}
    grid = [now, *sorted(others)]
    choices = {each: _choice(*each, parts, seconds, per_body) for each in grid}
    wanted = choices[now].age_p95_seconds if age_seconds is None else age_seconds
    busiest = _busiest(shards)
    batches = busiest / min(now[0], per_body, max(1.0, busiest * now[1]))
    return Plan(
        queue, seconds, events, event_bytes, choices[now], recommend(choices.values(), wanted),
        tuple(choices.values()), busiest, limits.parallel / batches,
    )  # fmt: skip


def with_outage(found: Plan, seconds: float, dead: int) -> Plan:
    """Return the plan with what an outage of that length leaves, beside the most *dead* events."""
    if found.current is None or found.event_bytes is None:
        return found
    batches = found.current.requests_an_hour * found.seconds / 3600
    left = after_outage(
        seconds, events_a_second=found.busiest_events_a_second, event_bytes=found.event_bytes,
        batch_events=found.events / batches, dead=dead,
    )  # fmt: skip
    return msgspec.structs.replace(found, outage=left)


def _choice(
    size: int, wait: float, came: Sequence[Arrivals], seconds: float, per_body: float
) -> Choice:
    most = max(1.0, min(size, per_body))
    groups = [_group(each, most, wait) for each in came]
    requests = sum(each.events / each.size for each in groups)
    full = sum(each.events / each.size for each in groups if each.size >= most)
    limit: Limit = "interval" if 2 * full < requests else "events" if most == size else "bytes"
    return Choice(
        size, wait, requests * 3600 / seconds, _age(groups, 0.5), _age(groups, 0.95), limit
    )  # fmt: skip


def _group(came: Arrivals, most: float, wait: float) -> _Group:
    gap = came.seconds / came.events  # between two events
    size = min(most, 1 + wait / gap)
    return _Group(came.events, size, min(wait, (size - 1) * gap) if size >= most else wait)


def _age(groups: Sequence[_Group], share: float) -> float:
    """The age that this share of the events does not exceed.

    In each batch the first event is as old as the batch, the others are spread evenly.
    """
    total = sum(each.events for each in groups)

    def younger(age: float) -> float:
        return sum(each.events * _share_younger(each, age) for each in groups) / total

    ages = sorted({each.age_seconds for each in groups})
    if younger(0.0) >= share:
        return 0.0
    low, high = 0.0, ages[-1]
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if younger(middle) >= share else (middle, high)
    return high


def _share_younger(group: _Group, age: float) -> float:
    if age >= group.age_seconds:
        return 1.0
    return (1 - 1 / group.size) * age / group.age_seconds


def _event_bytes(shards: Sequence[Sequence[Sample]]) -> float | None:
    held = [each for samples in shards for each in samples if each.undelivered > 0]
    events = sum(each.undelivered for each in held)
    return sum(each.bytes for each in held) / events if events else None


def _busiest(shards: Sequence[Sequence[Sample]]) -> float:
    """Events in a second of the busiest step, over all shards."""
    rates: dict[int, float] = {}
    for samples in shards:
        for after, each in zip(samples[1:], arrivals_of(samples), strict=True):
            rates[after.at_ms] = rates.get(after.at_ms, 0.0) + each.events / each.seconds
    return max(rates.values(), default=0.0)


def recommend(choices: Iterable[Choice], age_p95_seconds: float) -> Choice | None:
    """The choice with the fewest requests whose events leave in time; the first of equals."""
    prompt = [c for c in choices if c.age_p95_seconds <= age_p95_seconds * (1 + _SAME)]
    if not prompt:
        return None
    fewest = min(c.requests_an_hour for c in prompt)
    equal = [c for c in prompt if c.requests_an_hour <= fewest * (1 + _SAME)]
    return equal[0]


def worthwhile(choices: Iterable[Choice]) -> list[Choice]:
    """The choices that no other beats in both requests and age, the most prompt first."""
    kept: list[Choice] = []
    for each in sorted(choices, key=lambda c: (c.age_p95_seconds, c.requests_an_hour)):
        if not kept or each.requests_an_hour < kept[-1].requests_an_hour * (1 - _SAME):
            kept.append(each)
    return kept
