"""One shard's part of a flush: how many of its events are still awaited, and what became of others.

Beside an event's way. It counts at the beginning and then the notes that settling scripts leave, so
that it costs what is settled meanwhile and not what waits. Workers of releases before 0.2 leave no
notes, and Redis may lose data: then the counters bound what is pending, and a search by pages tells
when nothing is left. If the process dies here, the batches are delivered anyway.
"""

from __future__ import annotations

from collections import Counter

from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import descends
from vwo_celery.queue.work import settlements
from vwo_celery.queue.work.settlements import DEAD, DELIVERED, Note

#: Searches in a row that must find nothing: a batch that moves between two pages may escape one.
_SEARCHES = 2


class Awaited:
    """The events of one shard that a flush waits for: sealed before it began, and not settled then.

    All counts are exact where those who settle batches leave notes. Else `pending` is the most and
    `delivered` the least that it can be, until nothing is left.

    Attributes:
        shard: The shard.
        dead: Events that were dead-lettered.
        dropped: Events that were dropped, by reason.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.dropped: Counter[str] = Counter()
        self._start = start = settlements.begin(shard)
        self._seen = set(start.notes)
        self._seen_dead = set(start.died)
        self._noted_ms = self._died_ms = start.now_ms
        self._noted = 0
        self._noted_of_all = 0
        self._died: dict[str, int] = {}
        self._grown = 0
        self._sealed = start.events
        self._known = ""
        self._searches = 0

    @property
    def dead(self) -> int:
        """Events that were dead-lettered."""
        return sum(self._died.values())

    @property
    def pending(self) -> int:
        """Events still awaited."""
        if self._searches >= _SEARCHES:
            return 0
        return min(self._unaccounted, self._sealed)

    @property
    def delivered(self) -> int:
        """Events that VWO accepted: by the notes, and by the counter where no note was left."""
        return self._noted + self._untold

    @property
    def lost(self) -> int:
        """Events that are gone and were neither delivered, dead-lettered nor dropped."""
        return self._unaccounted - self.pending - self._untold

    @property
    def _unaccounted(self) -> int:
        known = self._noted + self.dead + self.dropped.total()
        return max(0, self._start.events - known)

    @property
    def _untold(self) -> int:
        """Deliveries without a note: at most as many as the counter has grown beyond the notes."""
        return min(self._unaccounted - self.pending, max(0, self._grown - self._noted_of_all))

    def look(self, *, search: bool = False) -> None:
        """Count what was settled; with *search*, make sure that something is left."""
        if not self.pending:
            return
        seen = settlements.look(self.shard, self._noted_ms, self._died_ms)
        self._sealed, self._grown = seen.sealed, seen.delivered - self._start.delivered
        for at_ms, note in seen.notes:
            self._noted_ms = max(self._noted_ms, at_ms)
            if note not in self._seen:
                self._seen.add(note)
                self._count(note)
        self._count_dead(seen.died)
        if self.pending and (search or self._searches or self._grown > self._noted_of_all):
            self._search()

    def _is_awaited(self, batch_id: str, sealed_ms: int) -> bool:
        start = self._start
        if sealed_ms == start.now_ms:
            return descends(batch_id, start.twins)
        return sealed_ms < start.now_ms

    def _count(self, note: Note) -> None:
        if note.outcome == DELIVERED:
            self._noted_of_all += note.events
        if note.sealed_ms < 0:  # a dead letter; the flush may have seen it die
            known = self._died.pop(note.batch, 0)
            if not known:
                return
            if known > note.events:  # single events were picked out of it
                self._died[note.batch] = known - note.events
        elif not self._is_awaited(note.batch, note.sealed_ms):
            return
        if note.outcome == DELIVERED:
            self._noted += note.events
        elif note.outcome == DEAD:
            self._died[note.batch] = note.events
        else:
            self.dropped[note.outcome] += note.events

    def _count_dead(self, died: list[tuple[int, str]]) -> None:
        """Count the dead letters without a note."""
        self._died_ms = max([self._died_ms, *(at_ms for at_ms, _ in died)])
        new = [name for _, name in died if name not in self._seen_dead and name not in self._died]
        self._seen_dead.update(name for _, name in died)
        for name, events, sealed_ms in settlements.lines_of(self.shard, new):
            if self._is_awaited(name, sealed_ms):
                self._died[name] = events

    def _search(self) -> None:
        start = self._start
        self._known = settlements.first_awaited(self.shard, start.now_ms, start.twins, self._known)
        self._searches = 0 if self._known else self._searches + 1
