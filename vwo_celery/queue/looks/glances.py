"""Glances: the numbers of shards, each at one moment, at the same cost for any backlog.

Beside `shard`. Changes nothing: nothing to lose. Every number that an operator, a probe or an application
sees comes from a glance; only the ledger's proof and lists of batches read batches. Most numbers are the
scripts' own counts; the batches in flight are read one by one, since they are few. Workers of 0.1 keep
neither `births` nor `released`: until the patrol has entered what they left out, a glance is incomplete,
and its ages and its released events are at least what it says.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import asdict

from vwo_celery.connections import unavailable
from vwo_celery.connections.errors import is_trouble_of_redis, without_command
from vwo_celery.queue.looks.counters import Counters, read_counters
from vwo_celery.queue.looks.lines import Line, read_line
from vwo_celery.queue.looks.reading import Members, Raw, broken_keys, read_all
from vwo_celery.queue.parts import first_answer
from vwo_celery.queue.shard import Shard

#: Factor of the attempts in a score of released, as in lua/shared/indexes.lua.
RELEASED_UNIT = 1_000_000


class Failed(msgspec.Struct, frozen=True):
    """The batch that failed most often, of those that are not delivered, dropped or dead.

    Attributes:
        batch: Its name.
        state: "ready" (its lease ran out), "released" or "in_flight".
        events: Number of events in it.
        attempts: Attempts to deliver it.
        error: Why the last one failed.
    """

    batch: str
    state: str
    events: int
    attempts: int
    error: str


class Glance(Counters, frozen=True):
    """One shard at one moment; its numbers of events are counts of the scripts'.

    Attributes:
        shard: Short name, "queue:number".
        now_ms: Redis' time.
        ready_events: Events in batches that wait for a worker, for the first time or because a lease
            ran out.
        in_flight_events: Events in batches that a worker holds, or a move takes away.
        released_events: Events in batches that VWO did not accept yet.
        ready_batches: Number of the first.
        in_flight_batches: Number of the second.
        released_batches: Number of the third.
        leased_batches: Those of the second that a worker holds: the lanes that are busy with it.
        dead_batches: Number of dead letters.
        due_batches: Batches that may be claimed now.
        hidden_batches: Batches that may be claimed later, as after a failed attempt.
        slots: Wake-up slots taken.
        oldest_ms: Unix ms of the oldest event that is open, ready, in flight or released; 0 if there is
            none.
        first_due_ms: Unix ms at which the event that is to leave next should have left, or is to
            leave, by its interval and its batch's delay; 0 if none waits.
        next_try_ms: Unix ms of the next attempt of a released batch; 0 if none is released.
        failed: The batch that failed most; None if none failed.
        failed_waiting: The released batch that failed most; None if none is released.
        incomplete: Whether a worker of an older release left something out that the patrol has not
            entered yet: then events may be older, and more of the ready ones released.
        unreadable: What this release cannot read of it: lines of batches, fields, or a whole key.
        unusable: Whether a whole key cannot be read; all numbers are 0 then.
    """

    shard: str
    now_ms: int
    ready_events: int = 0
    in_flight_events: int = 0
    released_events: int = 0
    ready_batches: int = 0
    in_flight_batches: int = 0
    released_batches: int = 0
    leased_batches: int = 0
    dead_batches: int = 0
    due_batches: int = 0
    hidden_batches: int = 0
    slots: int = 0
    oldest_ms: int = 0
    first_due_ms: int = 0
    next_try_ms: int = 0
    failed: Failed | None = None
    failed_waiting: Failed | None = None
    incomplete: bool = False
    unreadable: tuple[str, ...] = ()
    unusable: bool = False

    @property
    def dead_events(self) -> int:
        """Events in dead letters."""
        return self.counted_dead

    @property
    def batches(self) -> int:
        """Number of all sealed batches, dead letters included."""
        waiting = self.ready_batches + self.released_batches
        return waiting + self.in_flight_batches + self.dead_batches

    @property
    def undelivered(self) -> int:
        """Events that are neither delivered, dropped nor dead."""
        waiting = self.open_events + self.ready_events
        return waiting + self.in_flight_events + self.released_events

    @property
    def balanced(self) -> bool:
        """Whether every accepted event is accounted for, by the scripts' own counts.

        What holds the events is not read: only `vwo-celery ledger` proves it.
        """
        accounted = self.delivered + sum(self.dropped.values()) + self.dead_events
        in_no_batch = self.ready_events > 0 and self.ready_batches == 0
        accounted += self.undelivered
        return self.accepted == accounted and not in_no_batch and not self.unusable


def take_glances(shards: Sequence[Shard]) -> list[Glance]:
    """Look at all *shards*, each at one moment, some hundreds in one round trip.

    What cannot be read of a shard is named in its glance: it hides neither the rest nor others.

    Raises:
        QueueUnavailable: Redis did not answer, or does not let this user look.
    """
    glances: list[Glance] = []
    with unavailable("look at the queues"):
        for shard, answer in zip(shards, read_all(shards), strict=True):
            if isinstance(answer, Exception):
                if is_trouble_of_redis(answer):
                    raise answer
                glances.append(_unusable(shard, answer))
            else:
                glances.append(_glance(shard.keys.name, answer))
    return glances


def _unusable(shard: Shard, exc: Exception) -> Glance:
    now_s, now_us = first_answer(shard.client, lambda server: server.time())
    broken = broken_keys(shard) or (f"a key: {without_command(exc)}",)
    counters = asdict(read_counters({}, 0))
    now_ms = int(now_s) * 1000 + int(now_us) // 1000
    return Glance(
        **counters, shard=shard.keys.name, now_ms=now_ms, unreadable=broken, unusable=True
    )


def _glance(name: str, raw: Raw) -> Glance:
    counters = read_counters(raw.meta, raw.open_events)
    look = _Look(raw, counters)
    lines = [f"the line of batch {batch}" for batch in look.unread]
    fields = [f"the field {field}" for field in counters.strange]
    expired, in_flight = look.expired, look.in_flight
    leased_events = sum(line.events for _, line in look.lines_of(in_flight))
    released_events = counters.counted_released - look.marked_leases_events
    released = raw.released_batches - look.marked_leases
    sealed = counters.counted_events - counters.leaving
    sealed -= max(counters.open_events, counters.open_counted)
    ready_events = sealed - leased_events - released_events
    return Glance(
        **asdict(counters),
        shard=name,
        now_ms=raw.now_ms,
        ready_events=max(0, ready_events),
        in_flight_events=leased_events + counters.leaving,
        released_events=max(0, released_events),
        ready_batches=max(0, raw.ready_batches - released) + len(expired),
        in_flight_batches=raw.leases_batches - len(expired) + raw.leaving_batches,
        released_batches=max(0, released),
        leased_batches=raw.leases_batches - len(expired),
        dead_batches=raw.dead_batches,
        due_batches=raw.ready_batches - raw.hidden + len(expired),
        hidden_batches=raw.hidden,
        slots=raw.slots,
        oldest_ms=look.oldest_ms(),
        first_due_ms=look.first_due_ms(),
        next_try_ms=look.next_try_ms(released),
        failed=look.failed(),
        failed_waiting=look.failed_waiting(),
        incomplete=look.is_incomplete() or ready_events < 0 or released_events < 0,
        unreadable=(*lines, *fields),
    )


class _Look:
    """What one shard's answer means."""

    def __init__(self, raw: Raw, counters: Counters) -> None:
        self.raw = raw
        self.counters = counters
        names = [name for name, _ in (*raw.leases, *raw.first, *raw.last, *raw.worst)]
        texts = dict(zip(names, raw.lines, strict=True))
        self.lines = {name: read_line(text) for name, text in texts.items()}
        # A line of a batch in released alone may be gone, where a worker of 0.1 settled it.
        placed = {name for name, _ in (*raw.leases, *raw.first, *raw.last)}
        self.unread = [name for name in self.lines if name in placed and self.lines[name] is None]
        self.expired = [(name, at) for name, at in raw.leases if at <= raw.now_ms]
        self.in_flight = [(name, at) for name, at in raw.leases if at > raw.now_ms]
        marks = raw.marked[: len(raw.leases)]
        scores = [int(score) for score in marks if score is not None]
        # A worker of 0.1 has claimed these, and left them among the released ones.
        self.marked_leases = len(scores)
        self.marked_leases_events = sum(score % RELEASED_UNIT for score in scores)

    def lines_of(self, members: Members) -> list[tuple[str, Line]]:
        found = ((name, self.lines[name]) for name, _ in members)
        return [(name, line) for name, line in found if line is not None]

    def oldest_ms(self) -> int:
        raw, counters = self.raw, self.counters
        firsts = [line.first_ms for _, line in self.lines_of([*raw.leases, *raw.first, *raw.last])]
        places = zip(raw.births, raw.births_ready, raw.births_leases, strict=True)
        firsts += [int(at) for (_, at), *those in places if those != [None, None]]
        if counters.open_events:
            firsts.append(counters.open_first_ms or raw.now_ms)
        return min(firsts, default=0)

    def first_due_ms(self) -> int:
        wait_ms, counters = self.counters.wait_ms, self.counters
        due = []
        for members in (self.raw.first, sorted(self.raw.leases, key=lambda lease: lease[1])):
            if members and (at := members[0][1]) <= self.raw.now_ms:
                line = self.lines[members[0][0]]
                due.append(max(line.first_ms + wait_ms if line else 0, int(at)))
        if counters.open_events:
            due.append((counters.open_first_ms or self.raw.now_ms) + wait_ms)
        return min(due, default=0)

    def next_try_ms(self, released: int) -> int:
        if released <= 0:
            return 0
        if released > self.raw.hidden or not self.raw.next_hidden:
            return self.raw.now_ms
        return int(self.raw.next_hidden[0][1])

    def failed(self) -> Failed | None:
        leased = dict(self.lines_of(self.raw.leases))
        waiting = dict(self.lines_of([each for each in self.raw.worst if each[0] not in leased]))
        held = {name for name, _ in self.in_flight}
        found = [(name, line) for name, line in (leased | waiting).items() if line.has_failed]
        if not found:
            return None
        name, line = max(found, key=lambda each: (each[1].attempt, each[1].events, each[0]))
        state = "in_flight" if name in held else "released" if name in waiting else "ready"
        return Failed(name, state, line.events, line.attempt, line.error)

    def failed_waiting(self) -> Failed | None:
        leased = {name for name, _ in self.raw.leases}
        for name, line in self.lines_of(self.raw.worst):
            if line.has_failed and name not in leased:
                return Failed(name, "released", line.events, line.attempt, line.error)
        return None

    def is_incomplete(self) -> bool:
        """Whether an entry of births or released is missing or stale, as far as the ends show."""
        raw = self.raw
        ends = dict(zip((name for name, _ in (*raw.first, *raw.last)), raw.born, strict=False))
        unborn = [name for name, at in ends.items() if at is None and self.lines[name]]
        stale = [
            each
            for each in zip(raw.births_ready, raw.births_leases, strict=True)
            if each == (None, None)
        ]
        marks = zip(raw.last, raw.marked[len(raw.leases) :], strict=True)
        unmarked = [
            name
            for (name, _), score in marks
            if score is None and (line := self.lines[name]) and line.has_failed
        ]
        odd = raw.births_batches != raw.ready_batches + raw.leases_batches
        unseen = len(raw.leases) < raw.leases_batches
        return bool(unborn or stale or unmarked or odd or unseen or self.marked_leases)
