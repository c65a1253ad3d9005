"""Dead letters grouped by why they died, so that hundreds of one cause are one line.

Beside an event's way. Batches are taken one by one, and no more are kept than are shown: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec

from vwo_celery.operating.batches.found import DeadBatch


class Group(msgspec.Struct, frozen=True):
    """Dead letters of one queue that died for one reason.

    Attributes:
        queue: The queue.
        reason: The reason.
        batches: Number of batches.
        events: Number of their events.
        first_age_seconds: Time since the first of them died.
        last_age_seconds: Time since the last of them died.
    """

    queue: str
    reason: str
    batches: int
    events: int
    first_age_seconds: float
    last_age_seconds: float


class Grouped(msgspec.Struct, frozen=True):
    """Dead letters, the newest, and all of them by reason.

    Attributes:
        shown: The newest ones.
        groups: Groups, those of most events first.
        batches: Number of batches that were looked at.
        events: Number of their events.
        more: Whether there are others, which were not looked at.
    """

    shown: tuple[DeadBatch, ...]
    groups: tuple[Group, ...]
    batches: int
    events: int
    more: bool


def group(found: Iterable[DeadBatch], *, shown: int, most: int) -> Grouped:
    """Group dead letters.

    Args:
        found: The dead letters, the newest first.
        shown: Most of them that are kept one by one.
        most: Most of them that are looked at.
    """
    source = iter(found)
    newest: list[DeadBatch] = []
    groups: dict[tuple[str, str], Group] = {}
    batches = events = 0
    for each in islice(source, most):
        if len(newest) < shown:
            newest.append(each)
        key = each.queue, each.reason
        groups[key] = _with(groups.get(key), each)
        batches, events = batches + 1, events + each.events
    ordered = sorted(groups.values(), key=lambda one: (-one.events, one.queue, one.reason))
    more = next(source, None) is not None
    return Grouped(tuple(newest), tuple(ordered), batches, events, more)


def _with(known: Group | None, each: DeadBatch) -> Group:
    age = each.died_age_seconds
    if known is None:
        return Group(each.queue, each.reason, 1, each.events, age, age)
    return Group(
        each.queue,
        each.reason,
        known.batches + 1,
        known.events + each.events,
        max(known.first_age_seconds, age),
        min(known.last_age_seconds, age),
    )
