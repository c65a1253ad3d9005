"""The model of a shard, as events come in: pushes, and the sweeps that seal and mend what is open."""

from __future__ import annotations

from collections.abc import Sequence

from lua.reference.state import ModelBatch, Sealed, ShardState, size_of
from vwo_celery.queue.words.marks import Mark

SWEEP_NAMES = 8
FOLLOWED_MS = 2_000


class FilledModel(ShardState):
    """A shard into which producers and other programs push."""

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
        count, size = len(events), size_of(events)
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
                and self.counted_bytes + size_of([event]) > self.limits.batch_bytes
            ):
                self._seal_open(next(unused), now)
                sealed += 1
            if self.counted == 0:
                self.first = now
            self.open.append(event)
            self.counted += 1
            self.counted_bytes += size_of([event])
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

    def next_turn(self, token: str, now: int) -> int:
        """Wake others for what is due."""
        asleep = self.paused or self.held_until is not None
        return 0 if asleep else self._hand_out(token, now)

    # -- parts of changes

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
        size = size_of(self.open)
        self.mixed = size > self.limits.batch_bytes
        if not self.mixed:
            self.counted_bytes = size
            self.count("bytes", size)
        return sealed, 0

    def _slice(self, name: str, now: int) -> None:
        taken: list[bytes] = []
        while self.open and len(taken) < self.limits.most_events:
            if taken and size_of([*taken, self.open[0]]) > self.limits.batch_bytes:
                break
            taken.append(self.open.pop(0))
        self._add(name, taken, size_of(taken), now)
        self.counted = len(self.open)
        self.count("bytes", size_of(taken))
