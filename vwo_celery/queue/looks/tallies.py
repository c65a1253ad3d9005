"""Tallies: what producers told of events that are, or were, outside of Redis.

Beside an event's way; written by `queue.records.reports`. The numbers are what processes have told so
far: those of a process that died before its next contact with Redis are missing. Changes nothing:
nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.connections.errors import without_command
from vwo_celery.queue.keys import as_text
from vwo_celery.queue.records.reports import DRAINED, SPOOL_OLDEST, SPOOLED, UNACCEPTED
from vwo_celery.queue.shard import Shard


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
#: Tallies that one round trip reads.
_SHARDS_A_ROUND_TRIP = 500


class Tally(msgspec.Struct, frozen=True):
    """What was told of one shard, one queue or the whole fleet.

    Attributes:
        unaccepted: Events that were dropped before Redis accepted them, by reason.
        spooled: Events that went to a host's disk.
        drained: Events that went from there to Redis.
        unreadable: Why the tally cannot be read, "" if it can.
    """

    unaccepted: dict[str, Told] = {}
    spooled: Told = Told()
    drained: Told = Told()
    unreadable: str = ""

    def __add__(self, other: Tally) -> Tally:
        """The sums."""
        reasons = sorted({*self.unaccepted, *other.unaccepted})
        return Tally(
            {each: self._of(each) + other._of(each) for each in reasons},
            self.spooled + other.spooled,
            self.drained + other.drained,
            self.unreadable or other.unreadable,
        )

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


def tally_of(fields: Mapping[Any, Any]) -> Tally:
    """The tally that a shard's hash holds; a number that cannot be read is 0."""
    texts = {as_text(field): as_text(value) for field, value in fields.items()}
    reasons = sorted(name for name in texts if name.startswith(UNACCEPTED))
    return Tally(
        {name.removeprefix(UNACCEPTED): _told(texts, name) for name in reasons},
        _told(texts, SPOOLED),
        _told(texts, DRAINED),
    )


def _told(texts: Mapping[str, str], name: str) -> Told:
    names = (name, f"recent:{name}", f"since_ms:{name}", f"last_ms:{name}")
    return Told(*(_number(texts.get(each, "")) for each in names))


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def sum_tallies(tallies: Iterable[Tally]) -> Tally:
    """The sum of several shards' or queues' tallies."""
    return reduce(Tally.__add__, tallies, Tally())


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
