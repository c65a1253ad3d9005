"""The move of a queue's events to another queue, batch by batch.

Beside an event's way; delivery never imports it. Open events are sealed first; then each batch moves
alone, with its events unchanged. If the process dies in here, one batch may have departed and not
arrived: the same command again finishes or undoes that first, and so does the workers' sweep after
some minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.operating.batches.move_plans import Plan, contradiction_of, picks
from vwo_celery.operating.batches.payloads import matching
from vwo_celery.operating.looks.inspector import shards_of
from vwo_celery.operating.operations.bulk import Amount, Brake
from vwo_celery.operating.past.audit import Actor, recorded
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling.moving import FULL, Rest
from vwo_celery.queue.handling.waiting import vanish
from vwo_celery.queue.looks import places
from vwo_celery.queue.looks.places import Family
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.work import departures, moves
from vwo_celery.queue.work.moves import Sealed
from vwo_celery.queue.work.sweeping import IDLE_SECONDS, sweep_shard, tokens
from vwo_celery.text.amounts import count


class Left(msgspec.Struct, frozen=True):
    """Batches that were not moved and are where they were, for one reason; `first` names one of them."""

    why: str
    first: str
    batches: int
    events: int


class Moved(msgspec.Struct, frozen=True):
    """The result of a move.

    Attributes:
        moved: Amount that are in the new queue now.
        arrived_before: Amount of an interrupted move that had arrived; finished now.
        put_back: Amount of an interrupted move that had not, and were put back first.
        left: Amount that were not moved, by reason.
        vanished: Events of batches whose events somebody had deleted; counted as dropped.
        stopped: Why no further batch fits, "" if that is not so.
        interrupted: Whether the brake stopped it.
    """

    moved: Amount = Amount()
    arrived_before: Amount = Amount()
    put_back: Amount = Amount()
    left: tuple[Left, ...] = ()
    vanished: int = 0
    stopped: str = ""
    interrupted: bool = False


def move(
    fleet: Fleet,
    actor: Actor,
    plan: Plan,
    *,
    rate: float | None = None,
    brake: Brake | None = None,
    watch: Callable[[Moved], None] = lambda _: None,
) -> Moved:
    """Move what the plan says, the oldest batches first; recorded in the audit.

    Args:
        fleet: All queues.
        actor: Who asked for it.
        plan: The plan.
        rate: Most events a second; None for as fast as Redis allows.
        brake: What stops it after the batch that it is at.
        watch: Called after each batch with what has been done so far.

    Returns:
        What was moved, and what was not, and why.

    Raises:
        QueueUnavailable: Redis did not answer. What was moved was told to *watch*; the same move
            again goes on from there.
    """
    queues = [plan.source.destination.queue, plan.target.destination.queue]
    with recorded(
        fleet, actor, "move", queues=queues, filter=str(plan.filter), matched=plan.events
    ) as entry:
        run = _Run(fleet, plan, rate, brake or Event(), watch)
        try:
            run.run()
        finally:
            entry.done = run.result.moved.events
        if run.result.interrupted:
            entry.interrupt()
    return run.result


class _Run:
    """One move under way."""

    def __init__(
        self,
        fleet: Fleet,
        plan: Plan,
        rate: float | None,
        brake: Brake,
        watch: Callable[[Moved], None],
    ) -> None:
        self.result = Moved()
        self._fleet = fleet
        self._plan = plan
        self._rate = rate
        self._brake = brake
        self._watch = watch
        self._began = monotonic()
        self._left: dict[str, Left] = {}
        self._until_ms = 0

    def run(self) -> None:
        fleet, plan = self._fleet, self._plan
        queue, target = plan.source.destination.queue, plan.target.destination.queue
        sources = shards_of(fleet, {queue: plan.source})[queue]
        if plan.is_new:
            fleet.register(plan.target)
        targets = [fleet.shard(target, number) for number in range(plan.target.shards)]
        fleet.watch(*(shard.keys.name for shard in targets))
        try:
            for source in sources:
                self._settle_left(source)
                self._move_shard(source, targets[source.number % len(targets)])
        except _Stop:
            pass
        finally:
            for shard in targets:
                wakeups = [wakeup.token for wakeup in sweep_shard(shard)]
                fleet.try_leaving_wakeups(target, shard.number, wakeups)

    def _settle_left(self, source: Shard) -> None:
        """Finish what an interrupted move has left, or undo it."""
        arrived, back = departures.settle_left(self._fleet, source)
        self._note(
            arrived_before=sum((Amount(1, e.events) for e in arrived), self.result.arrived_before),
            put_back=sum((Amount(1, e.events) for e in back), self.result.put_back),
        )

    def _move_shard(self, source: Shard, target: Shard) -> None:
        states = self._plan.states
        sealed = _seal(source) if "open" in states else []
        self._until_ms = until_ms = self._fleet.now_ms()
        if "ready" in states:
            self._move_set(source, target, "leases", until_ms=until_ms)
            self._move_set(source, target, "ready", until_ms=until_ms)
        else:
            self._move_named(source, target, sealed, "ready")
        if "released" in states:
            self._move_set(source, target, "released")
        if "dead" in states:
            self._move_set(source, target, "dead")

    def _move_set(self, source: Shard, target: Shard, family: Family, **bounds: int) -> None:
        """Move a set in pages; a batch that stays is not looked at again."""
        skip = 0
        while names := places.page_of(source, family, skip=skip, **bounds):
            self._move_named(source, target, names, "dead" if family == "dead" else "ready")
            skip += places.still_in(source, family, names)

    def _move_named(self, source: Shard, target: Shard, names: Sequence[str], state: Rest) -> None:
        for batch in moves.look_up(source, names, state):
            if not picks(self._plan, batch, self._until_ms):
                continue
            if self._brake.wait(self._delay_seconds()):
                self._note(interrupted=True)
                raise _Stop
            self._move_one(source, target, batch)
            self._watch(self.result)

    def _move_one(self, source: Shard, target: Shard, batch: Sealed) -> None:
        """Move one batch, or note why it stays."""
        events = [
            event for page in moves.event_pages(source, batch.batch, batch.events) for event in page
        ]
        if len(events) != batch.events:
            self._miss(source, batch, len(events))
            return
        plan = self._plan
        account = plan.source.destination.account_id
        if plan.filter.reads_events and not matching(events, plan.filter, account):
            return
        if found := contradiction_of(plan, events):
            self._leave(batch, found, alike="contradiction")
            return
        outcome = moves.move_batch(
            self._fleet, source, target, batch, events, sealed_until_ms=self._until_ms
        )
        if outcome.fate == "moved":
            self._note(moved=self.result.moved + Amount(1, outcome.events))
        elif outcome.fate == "stayed":
            self._leave(batch, outcome.why)
            if outcome.code in FULL:
                self._note(stopped=outcome.why)
                raise _Stop

    def _miss(self, source: Shard, batch: Sealed, there: int) -> None:
        """Note a batch of which events are gone, unless somebody has settled it meanwhile."""
        if not there and (vanished := vanish(source, batch.batch)):
            self._note(vanished=self.result.vanished + vanished)
        elif moves.look_up(source, [batch.batch], batch.state):
            if there > batch.events:
                why = "another program pushed into a batch; a worker counts that before it sends it"
                self._leave(batch, why)
                return
            missing = count(batch.events - there, "event")
            self._leave(batch, f"{missing} of a batch are gone from Redis", alike="vanished")

    def _leave(self, batch: Sealed, why: str, *, alike: str = "") -> None:
        """Note a batch that stays; of reasons that are *alike*, the first is told."""
        known = self._left.get(alike or why, Left(why, batch.batch, 0, 0))
        self._left[alike or why] = msgspec.structs.replace(
            known, batches=known.batches + 1, events=known.events + batch.events
        )
        self._note(left=tuple(self._left.values()))

    def _note(self, **changes: Any) -> None:
        self.result = msgspec.structs.replace(self.result, **changes)

    def _delay_seconds(self) -> float:
        if self._rate is None:
            return 0.0
        due = self._began + self.result.moved.events / self._rate
        return max(0.0, due - monotonic())


class _Stop(Exception):
    """The move ends here; what it has done is noted."""


def _seal(shard: Shard) -> list[str]:
    """Seal the open events, whatever their age; names of the new batches. No worker is woken."""
    names: list[str] = []
    while True:
        swept = shard.sweep(force=True, idle_ms=as_ms(IDLE_SECONDS))
        names += [f"{swept.token}.{number:04d}" for number in range(swept.sealed)]
        if swept.wakeups:
            shard.free_slots(list(tokens(swept.token, swept.wakeups)))
        if not swept.more:
            return names
