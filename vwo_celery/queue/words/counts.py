"""Counts: what a worker counted in one attempt, for the script that settles the batch to add up.

Stages 4 and 5 of an event's way. The tally of a shard is raised in the change of state that it counts:
a worker that dies after it loses no count, and one that dies before has settled nothing. Pure: nothing
to lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Final

from vwo_celery.queue.words.buckets import (
    AGE_BOUNDS_SECONDS,
    POST_BOUNDS_SECONDS,
    SIZE_BOUNDS,
    bucket_of,
)

#: Counters of the tally, and how much each is raised.
Counts = Mapping[str, int]
NOTHING: Final[Counts] = {}

#: Families of counters; after each comes an answer, the number of a bucket, or what was the matter.
ANSWER, AGE, POST, SIZE, DEAD = "answer:", "age:", "post:", "size:", "dead:"
#: What may be the matter with events that become dead letters: a verdict on them, or another word.
MATTERS: Final = (
    "too_large", "rejected", "refused", "unsendable", "incomplete", "lost_leases", "too_old", "operator",
)  # fmt: skip
#: The sums beside the buckets.
AGE_MS, POST_MS, SIZE_EVENTS = "age_ms", "post_ms", "size_events"
SPLIT: Final = "split"


def request(answer: str, *, seconds: float, events: int) -> Counts:
    """The counts of one request to VWO.

    Args:
        answer: Its answer: a status, or a word of `Failure`.
        seconds: Its time.
        events: Number of its events.
    """
    return {
        ANSWER + answer: 1,
        f"{POST}{bucket_of(POST_BOUNDS_SECONDS, seconds)}": 1,
        POST_MS: round(seconds * 1000),
        f"{SIZE}{bucket_of(SIZE_BOUNDS, events)}": 1,
        SIZE_EVENTS: events,
    }


def accepted(age_seconds: float) -> Counts:
    """The counts of one batch of which VWO accepted events, whose oldest event is of that age."""
    age_seconds = max(0.0, age_seconds)
    return {
        f"{AGE}{bucket_of(AGE_BOUNDS_SECONDS, age_seconds)}": 1,
        AGE_MS: round(age_seconds * 1000),
    }


def dead(matter: str, events: int) -> Counts:
    """The counts of events that become dead letters, and in a word what was the matter with them."""
    return {DEAD + matter: events}


def as_arguments(counts: Counts) -> tuple[str | int, ...]:
    """Field, number, field, number, … for a script, see lua/shared/tally.lua."""
    return tuple(chain.from_iterable(counts.items()))


def summed(one: Counts, other: Counts) -> Counts:
    """Both added up."""
    if not one or not other:
        return one or other
    return {**one, **{name: one.get(name, 0) + more for name, more in other.items()}}
