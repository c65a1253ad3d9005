"""Batches that a filter picks, found page by page: dead letters, and those that wait or are in flight.

Beside an event's way. Looking changes nothing: nothing to lose. Whatever there is, no command is long,
and no more is kept in memory than a page of each shard that holds such batches.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from vwo_celery.connections.errors import is_wrong_type
from vwo_celery.errors import FilterError, QueueUnavailable
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.found import DeadBatch, WaitingBatch
from vwo_celery.operating.batches.payloads import matching
from vwo_celery.operating.looks.inspector import shards_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks import pages
from vwo_celery.queue.looks.snapshots import BatchView, State
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Registration

#: Most events that a filter's words on events read, unless the caller says more.
SCAN_EVENTS: Final = 10_000
#: Batches that all shards together read at first; each of many reads less.
_READ_BATCHES: Final = 2_000
_FEWEST_BATCHES: Final = 20


class Scan:
    """How many events may be read to decide on batches, and what could not be looked at.

    Args:
        most_events: That bound.

    Attributes:
        looked_at: Number of events that were read.
        not_looked_at: Number of events in batches that the filter may pick, but for the bound.
        unreadable: The shards whose batches cannot be read, each with the reason.
    """

    def __init__(self, most_events: int = SCAN_EVENTS) -> None:
        self.most_events = most_events
        self.looked_at = 0
        self.not_looked_at = 0
        self.unreadable: list[str] = []

    @property
    def complete(self) -> bool:
        """Whether everything that the filter may pick was looked at."""
        return not self.not_looked_at and not self.unreadable

    def grant(self, events: int) -> int:
        """The number of a batch's events that may be read; the others are noted."""
        granted = min(events, self.most_events - self.looked_at)
        self.looked_at += granted
        self.not_looked_at += events - granted
        return granted


def find_dead(
    fleet: Fleet,
    registered: Mapping[str, Registration],
    wanted: Filter,
    scan: Scan | None = None,
) -> Iterator[DeadBatch]:
    """Yield the dead letters of these queues that a filter picks, the newest first.

    They may be redriven or purged while the next ones are found.

    Args:
        fleet: The queues.
        registered: The queues whose dead letters are wanted.
        wanted: The filter.
        scan: The bound on what is read, and what was not looked at.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    scan, now_ms = scan or Scan(), fleet.now_ms()
    finder = _Finder(fleet, registered, wanted, scan, now_ms)
    for shard, view in finder.find(("dead",), newest_first=True):
        places = finder.places(shard, view)
        if places is not None:
            yield _dead_batch(shard, view, now_ms, places)


def find_waiting(
    fleet: Fleet,
    registered: Mapping[str, Registration],
    wanted: Filter,
    scan: Scan | None = None,
) -> Iterator[WaitingBatch]:
    """Yield the batches of these queues that are not dead and that a filter picks; see `find_dead`.

    Raises:
        QueueUnavailable: Redis did not answer.
        FilterError: The filter can pick dead letters only.
    """
    if wanted.asks_for_deaths:
        raise FilterError("filter: died: picks dead letters only; these batches are not dead")
    scan, now_ms = scan or Scan(), fleet.now_ms()
    finder = _Finder(fleet, registered, wanted, scan, now_ms)
    for shard, view in finder.find(("ready", "released", "in_flight"), newest_first=False):
        if finder.places(shard, view) is not None:
            yield WaitingBatch(shard.queue, shard.number, view.id, view.state, view.events)


def events_of(fleet: Fleet, dead: DeadBatch, most: int | None = None) -> Iterator[bytes]:
    """Yield the events of a dead letter, encoded, the oldest first, page by page; all without *most*.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return pages.events(fleet.shard(dead.queue, dead.shard), dead.batch, most=most)


Found = Iterator[tuple[Shard, BatchView]]


class _Finder:
    """One search."""

    def __init__(
        self,
        fleet: Fleet,
        registered: Mapping[str, Registration],
        wanted: Filter,
        scan: Scan,
        now_ms: int,
    ) -> None:
        self._fleet = fleet
        self._registered = {
            queue: each
            for queue, each in registered.items()
            if not wanted.queues or queue in wanted.queues
        }
        self._wanted = wanted
        self._scan = scan
        self._now_ms = now_ms

    def find(self, states: Sequence[State], *, newest_first: bool) -> Found:
        """Yield the batches in these states of which all but the words on events are true."""
        chosen = shards_of(self._fleet, self._registered)
        shards = [shard for those in chosen.values() for shard in those]
        holding = pages.holding(self._fleet.client, shards, states)
        page = max(_FEWEST_BATCHES, min(pages.PAGE_BATCHES, _READ_BATCHES // max(1, len(holding))))
        parts = [
            self._of_shard(shard, partial(self._read, shard, state, page, newest_first))
            for shard in holding
            for state in states
        ]
        sign = -1 if newest_first else 1
        return heapq.merge(*parts, key=lambda found: sign * found[1].at_ms)

    def _read(
        self, shard: Shard, state: State, page: int, newest_first: bool
    ) -> Iterator[BatchView]:
        if not self._wanted.batches:
            return pages.batches(shard, state, self._now_ms, page=page, newest_first=newest_first)
        found = pages.named(shard, state, self._wanted.batches, self._now_ms)
        return iter(sorted(found, key=lambda view: view.at_ms, reverse=newest_first))

    def _of_shard(self, shard: Shard, read: Callable[[], Iterator[BatchView]]) -> Found:
        try:
            for view in read():
                if self._wanted.picks(shard.queue, view, self._now_ms):
                    yield shard, view
        except QueueUnavailable as exc:
            if not is_wrong_type(exc):
                raise
            self._scan.unreadable.append(f"{shard.keys.name}: {exc}")

    def places(self, shard: Shard, view: BatchView) -> tuple[int, ...] | None:
        """The places, from 1, of the events that the filter asks for; None if there is none."""
        if not self._wanted.reads_events:
            return ()
        granted = self._scan.grant(view.events)
        read = pages.events(shard, view.id, most=granted)
        account_id = self._registered[shard.queue].destination.account_id
        return matching(read, self._wanted, account_id) or None


def _dead_batch(shard: Shard, view: BatchView, now_ms: int, places: tuple[int, ...]) -> DeadBatch:
    return DeadBatch(
        queue=shard.queue,
        shard=shard.number,
        batch=view.id,
        events=view.events,
        bytes=view.bytes,
        attempts=view.attempt,
        reason=view.error,
        died_ms=view.at_ms,
        died_age_seconds=max(0, now_ms - view.at_ms) / 1000,
        first_ms=view.first_ms,
        matching_events=places,
    )
