"""Tallies: what the scripts counted of deliveries, and what producers told of events outside of Redis.

Beside an event's way. What workers did is counted by the script that settles the batch, so none of it
is missing, but for what workers of 0.1 did, who count nothing. What producers told is written by
`queue.records.reports`: that of a process that died before its next contact with Redis is missing.
Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import repeat, starmap
from operator import add
from typing import Any

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.connections.errors import without_command
from vwo_celery.queue.looks.fields import texts_of
from vwo_celery.queue.records.reports import DRAINED, SPOOL_OLDEST, SPOOLED, UNACCEPTED
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.buckets import AGE_BOUNDS_SECONDS, POST_BOUNDS_SECONDS, SIZE_BOUNDS
from vwo_celery.queue.words.counts import (
    AGE,
    AGE_MS,
    ANSWER,
    DEAD,
    POST,
    POST_MS,
    SIZE,
    SIZE_EVENTS,
    SPLIT,
)
from vwo_celery.queue.words.numbers import number


class Told(msgspec.Struct, frozen=True):
    """Number of events of one kind, and the latest run of them.

    In a run, none comes an hour after the one before: "150 events since 14:27, the last at 14:31".

    Attributes:
        events: Number of events ever told of.
        recent_events: Number of those in the latest run.
        since_ms: Unix ms, by Redis' clock, of the first of these.
        last_ms: The same of the last.
    """

    events: int = 0
    recent_events: int = 0
    since_ms: int = 0
    last_ms: int = 0

    def __add__(self, other: Told) -> Told:
        """Both kinds as one; of the runs the latest, or both if they touch."""
        old, new = sorted((self, other), key=lambda each: each.last_ms)
        if not old.recent_events or new.since_ms - old.last_ms >= _RUN_ENDS_MS:
            recent, since = new.recent_events, new.since_ms
        else:
            recent = old.recent_events + new.recent_events
            since = min(old.since_ms, new.since_ms)
        return Told(self.events + other.events, recent, since, new.last_ms)


#: Time after which an event begins another run; the same as in lua/report.lua.
_RUN_ENDS_MS = 3_600_000
#: Fields that hold one number.
_SUMS = (AGE_MS, POST_MS, SIZE_EVENTS, SPLIT, "lost_leases", "redriven", "opened")
#: Fields of the buckets, one for each bound and a last one for what is beyond.
_AGES = tuple(f"{AGE}{i}" for i in range(len(AGE_BOUNDS_SECONDS) + 1))
_POSTS = tuple(f"{POST}{i}" for i in range(len(POST_BOUNDS_SECONDS) + 1))
_SIZES = tuple(f"{SIZE}{i}" for i in range(len(SIZE_BOUNDS) + 1))
#: Tallies that one round trip reads.
_SHARDS_A_ROUND_TRIP = 500


def _none(bounds: Sequence[float]) -> tuple[int, ...]:
    return (0,) * (len(bounds) + 1)


class Tally(msgspec.Struct, frozen=True):
    """What was counted and told of one shard, one queue or the whole fleet, since it began.

    Counts by bucket have one number for each bound in `words.buckets`, and a last one for what is
    beyond; none includes the one before it.

    Attributes:
        unaccepted: Events that were dropped before Redis accepted them, by reason.
        spooled: Events that went to a host's disk.
        drained: Events that went from there to Redis.
        unreadable: Why the tally cannot be read, "" if it can.
        answers: Requests to VWO by their answer: a status, or a word of `Failure`.
        ages: Batches that VWO accepted, wholly or in part, by the age of their oldest event then.
        age_ms: The sum of these ages.
        posts: Requests to VWO, by their time.
        post_ms: The sum of these times.
        sizes: Requests to VWO, by their number of events.
        size_events: The sum of these numbers.
        dead_by: Events that became dead letters, by what was the matter: a verdict, or another word.
        split: Batches that were split.
        lost_leases: Leases that ran out, since a worker went silent.
        redriven: Events of dead letters that were put back.
        opened: How often VWO was held to be away, so that a circuit opened.
    """

    unaccepted: dict[str, Told] = {}
    spooled: Told = Told()
    drained: Told = Told()
    unreadable: str = ""
    answers: dict[str, int] = {}
    ages: tuple[int, ...] = _none(AGE_BOUNDS_SECONDS)
    age_ms: int = 0
    posts: tuple[int, ...] = _none(POST_BOUNDS_SECONDS)
    post_ms: int = 0
    sizes: tuple[int, ...] = _none(SIZE_BOUNDS)
    size_events: int = 0
    dead_by: dict[str, int] = {}
    split: int = 0
    lost_leases: int = 0
    redriven: int = 0
    opened: int = 0

    def __add__(self, other: Tally) -> Tally:
        """The sums; unreadable if one of both is."""
        names = self.__struct_fields__
        return Tally(*(_added(getattr(self, each), getattr(other, each)) for each in names))

    @property
    def requests(self) -> int:
        """All requests to VWO."""
        return sum(self.answers.values())

    def _of(self, reason: str) -> Told:
        return self.unaccepted.get(reason, Told())

    @property
    def all_unaccepted(self) -> Told:
        """Those of all reasons."""
        return reduce(Told.__add__, self.unaccepted.values(), Told())

    @property
    def latest_reasons(self) -> list[str]:
        """Reasons of the events in the latest run of drops."""
        since_ms = self.all_unaccepted.since_ms
        return [name for name, told in self.unaccepted.items() if told.last_ms >= since_ms]

    @property
    def on_disk(self) -> int:
        """Events that wait on hosts' disks, as far as was told."""
        dropped = self._of(SPOOL_OLDEST).events
        return max(0, self.spooled.events - self.drained.events - dropped)


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, str):
        return one or other
    if isinstance(one, tuple):
        return tuple(starmap(add, zip(one, other, strict=True)))
    if isinstance(one, dict):
        shared = {name: one[name] + other[name] for name in one.keys() & other.keys()}
        return dict(sorted((one | other | shared).items()))
    return one + other


def tally_of(fields: Mapping[Any, Any]) -> Tally:
    """The tally that a shard's hash holds; a number that cannot be read is 0."""
    numbers = {name: number(text) for name, text in texts_of(fields).items()}
    sums: dict[str, Any] = {name: numbers.get(name, 0) for name in _SUMS}
    named = _by_family(numbers)
    return Tally(
        {name: _told(numbers, UNACCEPTED + name) for name in named[UNACCEPTED]},
        _told(numbers, SPOOLED),
        _told(numbers, DRAINED),
        answers={name: numbers[ANSWER + name] for name in named[ANSWER]},
        ages=_of_each(numbers, _AGES),
        posts=_of_each(numbers, _POSTS),
        sizes=_of_each(numbers, _SIZES),
        dead_by={name: numbers[DEAD + name] for name in named[DEAD]},
        **sums,
    )


def _by_family(numbers: Mapping[str, int]) -> Mapping[str, list[str]]:
    """What follows the family in the names of those fields whose names are not known before."""
    found: dict[str, list[str]] = {UNACCEPTED: [], ANSWER: [], DEAD: []}
    for field in sorted(numbers):
        family, colon, name = field.partition(":")
        if family + colon in found:
            found[family + colon].append(name)
    return found


def _of_each(numbers: Mapping[str, int], fields: Sequence[str]) -> tuple[int, ...]:
    return tuple(map(numbers.get, fields, repeat(0)))


def _told(numbers: Mapping[str, int], name: str) -> Told:
    return Told(*_of_each(numbers, (name, f"recent:{name}", f"since_ms:{name}", f"last_ms:{name}")))


def sum_tallies(tallies: Iterable[Tally]) -> Tally:
    """The sum of several shards' or queues' tallies."""
    rest = iter(tallies)
    return reduce(Tally.__add__, rest, next(rest, Tally()))


def read_tallies(shards: Sequence[Shard]) -> list[Tally]:
    """The tally of each shard, five hundred in a round trip; one that cannot be read hides no other.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    answers: list[Any] = []
    for start in range(0, len(shards), _SHARDS_A_ROUND_TRIP):
        page = shards[start : start + _SHARDS_A_ROUND_TRIP]
        with unavailable("look at the tallies"):
            pipe = page[0].client.pipeline(transaction=False)
            for shard in page:
                pipe.hgetall(shard.keys.tally)
            answers += pipe.execute(raise_on_error=False)
    return [
        Tally(unreadable=without_command(each)) if isinstance(each, Exception) else tally_of(each)
        for each in answers
    ]
