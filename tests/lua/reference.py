"""A model of a shard in plain Python, to compare the scripts with.

It is written from the rules, event by event, and knows nothing of Redis: no chunks, no bulk moves,
no short cuts. Times are virtual milliseconds that the caller passes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from vwo_celery.queue.words.batches import HELD, Held, Limits, part_id
from vwo_celery.queue.words.marks import Mark

SWEEP_NAMES = 8
FOLLOWED_MS = 2_000

State = Literal["ready", "leases", "dead"]
Range = tuple[int, int]


@dataclass
class ModelBatch:
    """A sealed batch: its events never change, its other fields do."""

    id: str
    events: tuple[bytes, ...]
    size: int
    first: int
    sealed: int
    order: tuple[int, ...]
    at: int
    state: State = "ready"
    attempt: int = 0
    lost: int = 0
    error: str = ""
    returned: bool = False


@dataclass
class ModelPart:
    """Events of a batch that become a batch of their own."""

    state: Literal["ready", "dead"]
    ranges: Sequence[Range]
    delay: int
    error: str


@dataclass
class Sealed:
    """The effects of a push or a sweep besides storing."""

    code: int
    sealed: int = 0
    wakeups: int = 0
    more: int = 0


@dataclass
class Model:
    """One shard."""

    limits: Limits
    life: str = ""
    forgotten: bool = False
    open: list[bytes] = field(default_factory=list)
    counted: int = 0
    counted_bytes: int = 0
    first: int | None = None
    mixed: bool = False
    paused: bool = False
    held_until: int | None = None
    batches: dict[str, ModelBatch] = field(default_factory=dict)
    leaving: dict[str, tuple[ModelBatch, str]] = field(default_factory=dict)
    arrived: dict[str, int] = field(default_factory=dict)
    coming: set[str] = field(default_factory=set)
    slots: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    tally: Counter[str] = field(default_factory=Counter)
    followed: int = 0
    seals: int = 0

    # -- words

    def count(self, counter: str, change: int) -> None:
        """Change a ledger counter."""
        self.counters[counter] = self.counters.get(counter, 0) + change

    def of(self, state: State) -> list[ModelBatch]:
        """The batches in the given state."""
        return [batch for batch in self.batches.values() if batch.state == state]

    def released(self) -> list[ModelBatch]:
        """The batches that wait after a failed attempt, due or not."""
        return [batch for batch in self.of("ready") if batch.attempt and batch.error]

    def times(self) -> list[int]:
        """All times at which something becomes due or ends."""
        held = [] if self.held_until is None else [self.held_until]
        full = [self.first + self.limits.interval_ms] if self.open and self.first else []
        return [*held, *full, *self.slots.values(), *(b.at for b in self.batches.values())]

    def due(self, now: int) -> list[ModelBatch]:
        """The batches that may be claimed: ready and visible, or with an expired lease."""
        return [b for b in [*self.of("ready"), *self.of("leases")] if b.at <= now]

    def in_flight(self, now: int) -> int:
        """The batches under an unexpired lease."""
        return sum(batch.at > now for batch in self.of("leases"))

    def disturbed(self) -> bool:
        """Whether another program changed the open list, or it holds more than a batch may."""
        size = self.counted_bytes
        return self.mixed or len(self.open) != self.counted or size > self.limits.batch_bytes

    # -- changes

    def push(
        self,
        mark: Mark,
        events: Sequence[bytes],
        names: Sequence[str],
        now: int,
        *,
        more_follow: bool = False,
    ) -> Sealed:
        """Store events once, all or none; seal full batches; count what Redis lost before.

        Where the limit is the least of a batch, all that is open is sealed with the last push of a call.
        """
        count, size = len(events), _size(events)
        lost = mark.sequence - count - self.marks.get(mark.id, 0)
        if lost <= -count:
            return Sealed(0)
        if lost > 0 and mark.id not in self.marks and mark.life != self.life:
            return Sealed(-3)
        refused = self._refusal(count, size, len(names))
        if refused:
            return Sealed(refused)
        most = self.limits.most_events
        untouched = not self.disturbed() and self.counted < most
        least = self.limits.events_per_request
        enough = most > least and (self.counted + count >= least or self._is_followed(now))
        unused, sealed = iter(names), 0
        for event in events:
            if (
                untouched
                and self.open
                and self.counted_bytes + _size([event]) > self.limits.batch_bytes
            ):
                self._seal_open(next(unused), now)
                sealed += 1
            if self.counted == 0:
                self.first = now
            self.open.append(event)
            self.counted, self.counted_bytes = self.counted + 1, self.counted_bytes + _size([event])
            if untouched and self.counted >= most:
                self._seal_open(next(unused), now)
                sealed += 1
        rest = self.open and enough and not more_follow
        if untouched and (rest or self.counted_bytes > self.limits.batch_bytes):
            self._seal_open(next(unused), now)
            sealed += 1
        self.followed = now if more_follow and enough else 0
        self.marks[mark.id] = mark.sequence
        self.count("accepted", lost)
        self.count("dropped:redis_lost", lost)
        for counter, change in (("accepted", count), ("events", count), ("bytes", size)):
            self.count(counter, change)
        asleep = self.paused or self.held_until is not None
        wakeups = self._hand_out(names[0], now) if sealed and not asleep else 0
        return Sealed(1, sealed, wakeups)

    def sweep(
        self, token: str, now: int, *, force: bool, watched: int, lease: int, all_lost: bool
    ) -> Sealed:
        """Seal what is due, adopt changes by other programs, undo a step of the clock, wake workers.

        Args:
            token: Stem of the names that it may use.
            now: The time.
            force: Seal the open list, whatever its age.
            watched: Time at which the shard was last noted as busy.
            lease: Length of every lease.
            all_lost: Whether the wake-ups given out before now are known to be lost.
        """
        names = [f"{token}.{i:04d}" for i in range(SWEEP_NAMES)]
        sealed = more = 0
        if self.counted and self.first is not None:
            self.first = min(self.first, now)
        if self.open and not self.disturbed() and len(self.open) <= self.limits.most_events:
            if self._is_full(now) or self._is_due(now, force):
                self.first = now if self.first is None else min(self.first, now)
                self._seal_open(names[0], now)
                sealed = 1
        elif self.open:
            sealed, more = self._adopt_and_slice(names, now, force)
        elif self.counted:
            self._forget_open()
        if watched > now:
            self._undo_step_back(now, watched - now, lease)
        held = self.held_until is not None and now < self.held_until
        most = None if self.held_until is None else 1
        wakeups = 0
        if not self.paused and not held:
            self.slots = {t: at for t, at in self.slots.items() if at > now or not all_lost}
            wakeups = self._hand_out(token, now, most)
        return Sealed(1, sealed, wakeups, more)

    def _undo_step_back(self, now: int, step: int, lease: int) -> None:
        """Give every time in the future the place that it had before the clock stepped back."""
        for batch in self.of("ready"):
            if batch.at > now:
                batch.at, batch.returned = batch.at - step, True
        for batch in self.of("leases"):
            if batch.at > now + lease:
                batch.at = now + lease
        self.slots = {token: at for token, at in self.slots.items() if at <= now}
        if self.held_until is not None:
            self.held_until = now

    def next_turn(self, token: str, now: int) -> int:
        """Wake others for what is due."""
        asleep = self.paused or self.held_until is not None
        return 0 if asleep else self._hand_out(token, now)

    def claim(
        self,
        candidates: Iterable[ModelBatch],
        token: str,
        help_token: str,
        now: int,
        lease: int,
        *,
        probe: bool,
    ) -> tuple[ModelBatch | Held | None, int]:
        """Lease the first of *candidates*, which the caller has ordered; None if there is none."""
        batch = next(iter(candidates), None)
        held = self.held_until is not None and not probe
        self.slots.pop(token, None)
        if held and not self.paused and now >= (self.held_until or 0):
            return HELD, 0
        if batch is None or self.paused or held or self.in_flight(now) >= self.limits.parallel:
            return None, 0
        batch.lost += batch.state == "leases"
        self.tally["lost_leases"] += batch.state == "leases"
        batch.attempt += 1
        batch.state, batch.at = "leases", now + lease
        return batch, self._hand_out(help_token, now) if self.held_until is None else 0

    def ack(self, batch_id: str) -> bool:
        """Forget a delivered batch, in whatever state it is."""
        batch = self.batches.pop(batch_id, None)
        if batch is None:
            return False
        if batch.state == "dead":
            self.count("dead", -len(batch.events))
        else:
            self._leave(batch)
        self.count("delivered", len(batch.events))
        return True

    def held(self, batch_id: str, attempt: int) -> ModelBatch | None:
        """The batch, if the caller's *attempt* still holds it."""
        batch = self.batches.get(batch_id)
        return batch if batch and batch.state == "leases" and batch.attempt == attempt else None

    def release(self, batch_id: str, attempt: int, at: int, error: str) -> bool:
        """Give a lease back."""
        batch = self.held(batch_id, attempt)
        if batch:
            batch.state, batch.at, batch.error, batch.returned = "ready", at, error, True
        return batch is not None

    def hand_back(self, batch_id: str, attempt: int, lease: int, now: int) -> bool:
        """Undo a claim, if exactly this lease is meant."""
        batch = self.held(batch_id, attempt)
        if batch is None or batch.at != lease:
            return False
        batch.state, batch.at, batch.attempt = "ready", min(batch.sealed, now), attempt - 1
        batch.returned |= batch.sealed > now  # the clock stepped back: it has lost its place
        return True

    def split(
        self,
        batch_id: str,
        attempt: int,
        delivered: Sequence[Range],
        parts: Sequence[ModelPart],
        now: int,
        claim: str,
    ) -> list[bytes] | None:
        """Settle a leased batch in parts; the number of delivered events, or None without the lease."""
        whole = self.held(batch_id, attempt)
        if whole is None:
            return None
        del self.batches[batch_id]
        self._leave(whole)
        for number, part in enumerate(parts, 1):
            self._add_part(whole, part_id(whole.id, number, claim), number, part, now)
        accepted = _pick(whole.events, delivered)
        self.tally["split"] += len(parts) + bool(accepted) > 1
        self.count("delivered", len(accepted))
        return accepted

    def extend(self, batch_id: str, attempt: int, until: int) -> bool:
        """Extend a lease."""
        batch = self.held(batch_id, attempt)
        if batch:
            batch.at = until
        return batch is not None

    def dead_letter(self, batch_id: str, attempt: int, now: int, error: str) -> bool:
        """Dead-letter a leased batch."""
        batch = self.held(batch_id, attempt)
        if batch:
            batch.state, batch.at, batch.error = "dead", now, error
            self._leave(batch)
            self.count("dead", len(batch.events))
        return batch is not None

    def set_aside(self, batch_id: str, now: int, error: str) -> int:
        """Dead-letter a batch that no worker holds."""
        batch = self.batches.get(batch_id)
        held = batch is not None and batch.state == "leases" and batch.at > now
        if batch is None or batch.state == "dead" or held:
            return 0
        batch.state, batch.at, batch.error = "dead", now, error
        self._leave(batch)
        self.count("dead", len(batch.events))
        self.tally["dead:operator"] += len(batch.events)
        return len(batch.events)

    def hasten(self, now: int) -> None:
        """Make released batches due at once."""
        for batch in self.of("ready"):
            batch.at, batch.returned = min(batch.at, now), batch.returned or batch.at > now

    def redrive(self, batch_id: str, now: int) -> int:
        """Put a dead batch back."""
        batch = self.batches.get(batch_id)
        if batch is None or batch.state != "dead":
            return 0
        batch.state, batch.at, batch.lost, batch.sealed = "ready", now, 0, now
        batch.error, batch.returned = "", True
        for counter, sign in (("events", 1), ("dead", -1)):
            self.count(counter, sign * len(batch.events))
        self.count("bytes", batch.size)
        self.tally["redriven"] += len(batch.events)
        return len(batch.events)

    def purge(self, batch_id: str, reason: str = "purged") -> int:
        """Drop a dead batch."""
        batch = self.batches.get(batch_id)
        if batch is None or batch.state != "dead":
            return 0
        self.forget_import(batch_id)
        return self.forget(batch_id, reason)

    def pick_out(
        self, batch_id: str, ranges: Sequence[Range], drop: str, names: tuple[str, str], now: int
    ) -> list[bytes]:
        """Take events out of a dead batch; the rest stays dead, under another name."""
        whole = self.batches.get(batch_id)
        if whole is None or whole.state != "dead":
            return []
        del self.batches[batch_id]
        picked = _pick(whole.events, ranges)
        rest = [each for each in whole.events if each not in picked]  # no two events are alike
        if rest:
            self.batches[names[1]] = replace(
                whole, id=names[1], events=tuple(rest), size=_size(rest), order=(*whole.order, 2)
            )
        self.count("dead", -len(picked))
        if drop:
            self.count(f"dropped:{drop}", len(picked))
            return picked
        self.batches[names[0]] = ModelBatch(
            names[0], tuple(picked), _size(picked), whole.first, now, (*whole.order, 1), now,
            attempt=whole.attempt, returned=True,
        )  # fmt: skip
        self.count("events", len(picked))
        self.count("bytes", _size(picked))
        self.tally["redriven"] += len(picked)
        return picked

    def drop_waiting(self, batch_id: str, now: int, sealed_until: int, reason: str) -> int:
        """Drop a batch that no worker holds, and that was not sealed later."""
        batch = self.batches.get(batch_id)
        held = batch is not None and batch.state == "leases" and batch.at > now
        if batch is None or batch.state == "dead" or held or batch.sealed > sealed_until:
            return 0
        return self.forget(batch_id, reason)

    def forget(self, batch_id: str, reason: str) -> int:
        """Drop a batch, whatever its state."""
        batch = self.batches.pop(batch_id)
        if batch.state == "dead":
            self.count("dead", -len(batch.events))
        else:
            self._leave(batch)
        self.count(f"dropped:{reason}", len(batch.events))
        return len(batch.events)

    def drop_open(self, most: int, now: int, begun_until: int) -> list[bytes]:
        """Drop the oldest events of a list that was begun by then, others' pushes entered first."""
        mixed = self.mixed
        if self.counted and (self.first or 0) > begun_until:
            return []
        unknown = self.open and not self.counted
        if len(self.open) != self.counted:
            self._adopt(now)
            mixed = True
        if unknown:
            self.first = min(now, begun_until)
        gone, self.open = self.open[:most], self.open[most:]
        size = self.counted_bytes if not self.open else 0 if mixed else _size(gone)
        self.counted, self.counted_bytes = self.counted - len(gone), self.counted_bytes - size
        self.count("events", -len(gone))
        self.count("bytes", -size)
        self.count("dropped:purged", len(gone))
        self.mixed = mixed and bool(self.open)
        return gone

    def trim_dead(self, most_events: int, oldest_first: Iterable[str]) -> list[bytes]:
        """Drop dead batches until at most this many events are left; the number of events dropped."""
        gone: list[bytes] = []
        for batch_id in oldest_first:
            if self.counters.get("dead", 0) > most_events:
                gone += self.batches[batch_id].events
                self.purge(batch_id, "dead_letters_full")
        return gone

    def make_room(
        self, events: Sequence[bytes], oldest_first: Iterable[str], now: int
    ) -> tuple[list[bytes], int]:
        """Drop ready batches, then open events, until a push fits; the dropped events, and the code."""
        held = self.of("leases")
        in_flight = sum(len(batch.events) for batch in held)
        if not self._may_hold(events, in_flight, sum(batch.size for batch in held)):
            return [], -1
        gone: list[bytes] = []
        for batch_id in oldest_first:
            if not self._fits(events):
                batch = self.batches.pop(batch_id)
                self._leave(batch)
                gone += batch.events
        if not self._fits(events) and not self.of("ready"):
            gone += self._drop_from_open(events, now)
        self.count("dropped:oldest", len(gone))
        if not self._fits(events):
            return gone, 0
        self.counters["refused"] = max(0, self.counters.get("refused", 0) - len(events))
        return gone, 1

    # -- moves

    def depart(self, batch_id: str, state: str, heading: str, now: int) -> int:
        """Take a batch of that state out, if no worker holds it."""
        batch = self.batches[batch_id]
        held = batch.state == "leases" and batch.at > now
        if held or (batch.state == "dead") != (state == "dead"):
            return 0
        del self.batches[batch_id]
        self.leaving[batch_id] = batch, heading
        self._count_in(batch, -1)
        return len(batch.events)

    def stay(self, batch_id: str) -> None:
        """Put a batch back that has departed."""
        batch, _ = self.leaving.pop(batch_id)
        batch.state, batch.returned = "dead" if batch.state == "dead" else "ready", True
        self.batches[batch_id] = batch
        self._count_in(batch, 1)

    def may_arrive(self, batch: ModelBatch) -> int:
        """Whether there is room for a batch, as arrive.lua answers."""
        counters, limits = self.counters, self.limits
        if batch.state != "dead":
            if counters.get("events", 0) + len(batch.events) > limits.capacity_events:
                return -1
            if counters.get("bytes", 0) + batch.size > limits.capacity_bytes:
                return -2
        return 1

    def arrive(self, batch: ModelBatch, trace: int, *, moves: bool) -> None:
        """Take in a batch that comes from elsewhere, or *moves* here from a queue that still has it."""
        self.batches[batch.id], self.arrived[batch.id] = batch, trace
        self.coming |= {batch.id} if moves else set()
        self._count_in(batch, 1)

    def forget_import(self, batch_id: str) -> None:
        """Let a batch that was imported, and does not move, be imported again."""
        if batch_id not in self.coming:
            self.arrived.pop(batch_id, None)

    def end_moves(self) -> set[str]:
        """Forget the arrivals of batches that their old queues have forgotten."""
        ended, self.coming = self.coming, set()
        for name in ended:
            del self.arrived[name]
        return ended

    def _count_in(self, batch: ModelBatch, sign: int) -> None:
        self.count("accepted", sign * len(batch.events))
        if batch.state == "dead":
            self.count("dead", sign * len(batch.events))
        else:
            self.count("events", sign * len(batch.events))
            self.count("bytes", sign * batch.size)

    # -- parts of changes

    def _refusal(self, count: int, size: int, names: int) -> int:
        limits = self.limits
        if self.counters.get("events", 0) + count > limits.capacity_events:
            self.count("refused", count)
            return -1
        if self.counters.get("bytes", 0) + size > limits.capacity_bytes:
            self.count("refused", count)
            return -2
        beside = 3 if limits.most_events > limits.events_per_request else 2
        most = beside + count // limits.most_events + 2 * (size // limits.batch_bytes)
        return -4 if names < min(most, count + 1) else 0

    def _may_hold(self, events: Sequence[bytes], held: int, held_bytes: int) -> bool:
        limits = self.limits
        return (
            held + len(events) <= limits.capacity_events
            and held_bytes + _size(events) <= limits.capacity_bytes
        )

    def _fits(self, events: Sequence[bytes]) -> bool:
        counters = self.counters
        return self._may_hold(events, counters.get("events", 0), counters.get("bytes", 0))

    def _drop_from_open(self, events: Sequence[bytes], now: int) -> list[bytes]:
        gone: list[bytes] = []
        mixed = self.mixed or len(self.open) != self.counted
        if mixed:
            self._adopt(now)
        while self.open and not self._fits(events):
            event = self.open.pop(0)
            gone.append(event)
            size = 0 if mixed else _size([event])
            self.counted, self.counted_bytes = self.counted - 1, self.counted_bytes - size
            self.count("events", -1)
            self.count("bytes", -size)
        self.mixed = mixed and bool(self.open)
        return gone

    def _adopt(self, now: int) -> None:
        if self.open and not self.counted:
            self.first = now
        foreign = len(self.open) - self.counted
        self.count("accepted" if foreign > 0 else "dropped:vanished", abs(foreign))
        self.count("events", foreign)
        self.count("bytes", -self.counted_bytes)
        self.counted, self.counted_bytes, self.mixed = len(self.open), 0, True

    def _leave(self, batch: ModelBatch) -> None:
        self.count("events", -len(batch.events))
        self.count("bytes", -batch.size)

    def _is_due(self, now: int, force: bool) -> bool:
        first = now if self.first is None else self.first
        return force or now - first >= self.limits.interval_ms

    def _is_followed(self, now: int) -> bool:
        return 0 <= now - self.followed < FOLLOWED_MS

    def _is_full(self, now: int) -> bool:
        limits, waiting = self.limits, len(self.open)
        return waiting >= limits.most_events or (
            waiting >= limits.events_per_request and not self._is_followed(now)
        )

    def _seal_open(self, name: str, now: int) -> None:
        self._add(name, self.open, self.counted_bytes, now)
        self.open, self.counted, self.counted_bytes = [], 0, 0

    def _add(self, name: str, events: Sequence[bytes], size: int, now: int) -> None:
        first = now if self.first is None else self.first
        self.seals += 1
        self.batches[name] = ModelBatch(name, tuple(events), size, first, now, (self.seals,), now)

    def _add_part(
        self, whole: ModelBatch, name: str, number: int, part: ModelPart, now: int
    ) -> None:
        events = _pick(whole.events, part.ranges)
        dead = part.state == "dead"
        at = now + part.delay if dead or part.delay else min(whole.sealed, now)
        new = ModelBatch(
            name, tuple(events), _size(events), whole.first, whole.sealed,
            (*whole.order, number), at, state=part.state, attempt=int(not dead and part.delay > 0),
            lost=whole.lost, error=part.error,
            returned=whole.returned or part.delay > 0 or whole.sealed > now,
        )  # fmt: skip
        self.batches[new.id] = new
        if dead:
            self.count("dead", len(events))
        else:
            self.count("events", len(events))
            self.count("bytes", new.size)

    def _forget_open(self) -> None:
        self.count("dropped:vanished", self.counted)
        self.count("events", -self.counted)
        self.count("bytes", -self.counted_bytes)
        self.counted = self.counted_bytes = 0
        self.mixed = False

    def _adopt_and_slice(self, names: Sequence[str], now: int, force: bool) -> tuple[int, int]:
        self._adopt(now)
        due, sealed = self._is_due(now, force), 0
        while self.open and (due or self._is_full(now)):
            if sealed == len(names):
                return sealed, 1
            self._slice(names[sealed], now)
            sealed += 1
        size = _size(self.open)
        self.mixed = size > self.limits.batch_bytes
        if not self.mixed:
            self.counted_bytes = size
            self.count("bytes", size)
        return sealed, 0

    def _slice(self, name: str, now: int) -> None:
        taken: list[bytes] = []
        while self.open and len(taken) < self.limits.most_events:
            if taken and _size([*taken, self.open[0]]) > self.limits.batch_bytes:
                break
            taken.append(self.open.pop(0))
        self._add(name, taken, _size(taken), now)
        self.counted = len(self.open)
        self.count("bytes", _size(taken))

    def _hand_out(self, token: str, now: int, most: int | None = None) -> int:
        due = len(self.due(now))
        if not due:
            return 0
        wanted = min(due, self.limits.parallel - self.in_flight(now), most or due)
        wanted -= len(self.slots)
        for i in range(wanted):
            self.slots[f"{token}:{i + 1}"] = now + self.limits.slot_ttl_ms
        return max(wanted, 0)


def _pick(events: Sequence[bytes], ranges: Sequence[Range]) -> list[bytes]:
    return [events[i] for start, end in ranges for i in range(start, end)]


def _size(events: Iterable[bytes]) -> int:
    return sum(len(event) + 1 for event in events)
