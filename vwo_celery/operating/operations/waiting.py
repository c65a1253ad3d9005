"""Changes of what waits: open, ready or released events dropped for good, or released ones due at once.

One script changes one batch, or some open events: if the process dies in between, the rest is as it
was, and the same call goes on from there. What a worker holds is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Event
from typing import Final, Literal, NamedTuple

import msgspec

from vwo_celery.connections.errors import is_wrong_type
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import announce_drop
from vwo_celery.operating.looks.inspector import shards_of, view_queues
from vwo_celery.operating.operations.bulk import Amount, Brake, Done
from vwo_celery.operating.operations.failures import NOT_WOKEN, Failures
from vwo_celery.operating.operations.waking import wake
from vwo_celery.operating.past.audit import Actor, Recording, recorded
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import waiting
from vwo_celery.queue.looks import pages
from vwo_celery.queue.looks.snapshots import BatchView
from vwo_celery.queue.shard import PURGED, Shard
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import count

WaitingState = Literal["open", "ready", "released"]
WAITING_STATES: Final[tuple[WaitingState, ...]] = ("open", "ready", "released")
#: Batches that one call makes due, where they are named.
_HASTENED_AT_ONCE = 500


class Chosen(NamedTuple):
    """What of some queues is to be changed.

    Attributes:
        registered: The queues.
        states: The states.
        batches: Names of batches; none for all. Open events are in no batch.
    """

    registered: Mapping[str, Registration]
    states: Sequence[WaitingState]
    batches: Sequence[str] = ()

    @property
    def typed(self) -> str:
        """The choice in words, for the audit."""
        names = (f"batch:{name}" for name in self.batches)
        return " ".join((*(f"state:{state}" for state in self.states), *names))


class CountedWaiting(msgspec.Struct, frozen=True):
    """What was about to be changed when somebody looked.

    Attributes:
        open: Open events of each shard, by its name.
        batches: Ready and released batches.
        names: Their names, by that of the shard: what is released later is none of them.
        until_ms: Unix ms of the look; what was sealed later was not counted.
        queues: The queues that it was in.
        unreadable: The shards whose own keys cannot be used, each with the reason: they are left out.
    """

    open: dict[str, int]
    batches: Amount
    names: dict[str, list[str]]
    until_ms: int
    queues: tuple[str, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def events(self) -> int:
        """Number of events."""
        return sum(self.open.values()) + self.batches.events


def count_waiting(fleet: Fleet, chosen: Chosen) -> CountedWaiting:
    """Count what `purge_waiting` would drop.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    until_ms = fleet.now_ms()
    opened: dict[str, int] = {}
    found: dict[str, list[BatchView]] = {}
    queues, unreadable = set(), []
    for shard in _shards(fleet, chosen):
        name = shard.keys.name
        try:
            events = _open_events(shard, chosen)
            batches = list(_batches(shard, chosen, until_ms))
        except QueueUnavailable as exc:
            if not is_wrong_type(exc):
                raise
            unreadable.append(f"{name}: {exc}")
            continue
        opened |= {name: events} if events else {}
        found |= {name: batches} if batches else {}
        queues |= {shard.queue} if events or batches else set()
    names = {name: [batch.id for batch in those] for name, those in found.items()}
    amount = Amount(
        sum(map(len, names.values())),
        sum(batch.events for those in found.values() for batch in those),
    )
    return CountedWaiting(opened, amount, names, until_ms, tuple(sorted(queues)), tuple(unreadable))


def _open_events(shard: Shard, chosen: Chosen) -> int:
    wanted = "open" in chosen.states and not chosen.batches
    return waiting.open_events(shard) if wanted else 0


def _shards(fleet: Fleet, chosen: Chosen) -> Iterator[Shard]:
    """The shards of the queues that hold something undelivered, or may do so."""
    views = view_queues(fleet, chosen.registered)
    held = {view.queue for view in views if view.undelivered or view.unreadable}
    for queue, shards in shards_of(fleet, chosen.registered).items():
        if queue in held:
            yield from shards


def _batches(shard: Shard, chosen: Chosen, until_ms: int) -> Iterator[BatchView]:
    for state in chosen.states:
        if state != "open":
            found = (
                pages.named(shard, state, sorted({*chosen.batches}), until_ms)
                if chosen.batches
                else pages.batches(shard, state, until_ms)
            )
            yield from (batch for batch in found if batch.sealed_ms <= until_ms)


def purge_waiting(
    fleet: Fleet,
    actor: Actor,
    chosen: Chosen,
    counted: CountedWaiting,
    *,
    brake: Brake | None = None,
    watch: Callable[[Amount], None] = lambda _: None,
) -> Done:
    """Drop what waits for good, counted and announced as dropped with the reason "purged".

    Args:
        fleet: The queues.
        actor: Who asks for it.
        chosen: What is to be dropped.
        counted: How much that was, as it was shown: what came later stays.
        brake: What stops it after the batch that it is at.
        watch: Called after each step with what has been dropped so far.

    Raises:
        QueueUnavailable: Redis did not answer, and some may be dropped, the others are as they were;
            or the keys of one queue do not let themselves be changed, and the others are.
    """
    failures = Failures()
    with recorded(
        fleet, actor, "purge", queues=counted.queues, filter=chosen.typed, matched=counted.events
    ) as entry:
        work = _Purge(actor, counted, brake or Event(), watch, entry)
        for shard in _shards(fleet, chosen):
            if work.stopped:
                break
            with failures.of(shard.queue):
                work.purge(shard)
        failures.tell(f"purged {count(work.done.changed.events, 'event')}")
    return work.done


class _Purge:
    """One purge under way."""

    def __init__(
        self,
        actor: Actor,
        counted: CountedWaiting,
        brake: Brake,
        watch: Callable[[Amount], None],
        entry: Recording,
    ) -> None:
        self.stopped = False
        self._actor = actor
        self._counted = counted
        self._brake = brake
        self._watch = watch
        self._entry = entry
        self._dropped = Amount()
        self._vanished = 0

    @property
    def done(self) -> Done:
        """What it has come to."""
        counted = Amount(self._counted.batches.batches, self._counted.events)
        left = counted - self._dropped if self.stopped else Amount()
        return Done(self._dropped, left, self.stopped, self._vanished)

    def purge(self, shard: Shard) -> None:
        """Drop what was counted in a shard, and announce it."""
        before, vanished = self._dropped.events, self._vanished
        try:
            for dropped, batches in self._steps(shard):
                self._dropped += Amount(batches, dropped.events)
                self._vanished += dropped.vanished
                self._entry.done = self._dropped.events
                self._watch(self._dropped)
        finally:
            gone = self._vanished - vanished
            if purged := self._dropped.events - before - gone:
                announce_drop(shard.queue, PURGED, purged, f"{self._actor} purged what waited")
            waiting.announce_vanished(shard.queue, gone)

    def _steps(self, shard: Shard) -> Iterator[tuple[waiting.Dropped, int]]:
        left, until_ms = self._counted.open.get(shard.keys.name, 0), self._counted.until_ms
        while left and not self._shall_stop():
            events = waiting.drop_open(shard, left, begun_until_ms=until_ms)
            yield waiting.Dropped(events, 0), 0
            left = left - events if events else 0
        for name in self._counted.names.get(shard.keys.name, ()):
            if self._shall_stop():
                return
            dropped = waiting.drop_waiting(shard, name, sealed_until_ms=until_ms)
            yield dropped, int(dropped.events > 0)

    def _shall_stop(self) -> bool:
        if not self.stopped and self._brake.wait(0):
            self.stopped = True
            self._entry.interrupt()
        return self.stopped


def retry_released(
    fleet: Fleet,
    actor: Actor,
    registered: Mapping[str, Registration],
    batches: Sequence[str] = (),
    *,
    brake: Brake | None = None,
) -> Done:
    """Make what waits for its next attempt due at once, and wake the workers.

    A queue that is paused, or whose circuit is open, is not sent all the same; see `resume`.

    Args:
        fleet: The queues.
        actor: Who asks for it.
        registered: The queues.
        batches: Names of batches; none for all.
        brake: What stops it after the step that it is at.

    Raises:
        QueueUnavailable: Redis did not answer, and some batches may be due; or the keys of one queue
            do not let themselves be changed, and the others are.
    """
    chosen, brake, done = Chosen(registered, ("released",), batches), brake or Event(), Amount()
    stopped, failures, asleep = False, Failures(), Failures(NOT_WOKEN)
    with recorded(fleet, actor, "retry", queues=registered, filter=chosen.typed) as entry:
        for shard in _shards(fleet, chosen):
            with failures.of(shard.queue):
                for hastened in _hasten(shard, batches, fleet.now_ms()):
                    done += Amount(*hastened)
                    entry.done = done.events
                    batches_due = count(done.batches, "batch", "batches")
                    entry.note = f"in {batches_due}" if done.batches else ""
                    stopped = stopped or brake.wait(0)
                    if stopped:
                        break
                with asleep.of(shard.queue):
                    wake(fleet, shard)
            if stopped:
                entry.interrupt()
                break
        failures.tell(made_due := f"made {count(done.events, 'event')} due")
        asleep.tell(made_due)
    return Done(done, stopped=stopped)


def _hasten(shard: Shard, batches: Sequence[str], now_ms: int) -> Iterable[waiting.Hastened]:
    if batches:
        for start in range(0, len(batches), _HASTENED_AT_ONCE):
            yield waiting.hasten(shard, batches[start : start + _HASTENED_AT_ONCE])
        return
    left = waiting.delayed(shard, now_ms)  # those that are released again meanwhile wait
    while left > 0 and (hastened := waiting.hasten(shard)).batches:
        left -= hastened.batches
        yield hastened
