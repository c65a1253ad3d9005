"""Flush, at an operator's request: send what queues hold now, and wait until VWO has it.

If the process dies while it waits, the events are sent nevertheless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.looks.inspector import QueueView
from vwo_celery.operating.operations.failures import Failures
from vwo_celery.operating.past.audit import Actor, recorded
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.listening import listening_if_known
from vwo_celery.queue.work import flushing, rousing
from vwo_celery.queue.work.flushing import FlushCounts
from vwo_celery.queue.work.obstacles import TIME_OVER, no_worker

#: The reason why events are pending where nothing stands in the way and nobody has waited for them.
NOT_AWAITED: Final = "this flush did not wait for them"


class Flushed(msgspec.Struct, frozen=True):
    """The result of a flush.

    Attributes:
        counts: The result of each queue that held something.
        sealed: Whether any of them could be flushed.
        hopeless: Whether nobody will send some of it, however long one waits.
        asleep: Whether no worker took the wake-up, where one was to show that it lives.
        broken: Queues of which some shard could not be flushed; counts have the others' events alone.
    """

    counts: dict[str, FlushCounts]
    sealed: bool
    hopeless: bool
    asleep: bool = False
    broken: frozenset[str] = frozenset()

    @property
    def left(self) -> bool:
        """Whether some of it is not delivered."""
        left = any(each.pending or each.failed for each in self.counts.values())
        return left or bool(self.broken)

    def document(self) -> list[dict[str, Any]]:
        """The result as data for a JSON document."""
        return [{"queue": queue, **counts._asdict()} for queue, counts in self.counts.items()]


def flush(
    fleet: Fleet,
    actor: Actor,
    names: Sequence[str] = (),
    *,
    wait_seconds: float | None = 0.0,
    watch: Callable[[FlushCounts], None] = lambda _: None,
) -> Flushed:
    """Seal what queues hold now, whatever its age, wake the workers, and wait for the delivery.

    There is no wait where every one of the queues is paused. A queue whose own keys cannot be used
    keeps no other from being flushed.

    Args:
        fleet: The queues.
        actor: Who asks for it.
        names: The queues to flush; none for all.
        wait_seconds: Longest wait; 0 only wakes the workers; None also sees that one of them lives,
            which takes seconds where none does.
        watch: Called at each poll with the counts of all queues together.

    Raises:
        QueueUnknown: There is no such queue, or its registration cannot be read.
        QueueUnavailable: Redis did not answer; what is pending stays pending.
    """
    found = fleet.registrations()
    chosen = inspector.choose(found.readable, names, found.unreadable)
    views = inspector.view_queues(fleet, chosen)
    held = [view for view in views if view.undelivered or view.unreadable]
    strays = [] if names else inspector.view_strays(fleet, *found)
    wait = 0.0 if all(view.paused for view in held) else wait_seconds or 0.0
    matched = sum(view.undelivered for view in held)
    failures = Failures()
    with recorded(
        fleet, actor, "flush", queues=[view.queue for view in held], matched=matched
    ) as entry:
        counts = _flush_held(fleet, held, wait, watch, failures)
        whole = [view for view in held if view.queue not in failures.errors]
        # Without a wait, all that a flush does is to hand the events to the workers.
        delivered = sum(each.delivered for each in counts.values())
        entry.done = delivered if wait else sum(view.undelivered for view in whole)
        asleep = _why_asleep(fleet, whole, counts) if wait_seconds is None else ""
        if asleep:
            counts = {queue: _with_reason(each, asleep) for queue, each in counts.items()}
        counts |= {view.queue: _untouched(view) for view in strays if view.undelivered}
        entry.note = "; ".join(map(_told, sorted(counts.items(), key=_calm)))
    hopeless = any(view.undelivered for view in strays) or _is_hopeless(fleet, held)
    broken = frozenset(failures.errors)
    return Flushed(counts, bool(whole), hopeless or bool(broken), bool(asleep), broken)


def _flush_held(
    fleet: Fleet,
    held: Sequence[QueueView],
    wait_seconds: float,
    watch: Callable[[FlushCounts], None],
    failures: Failures,
) -> dict[str, FlushCounts]:
    """The counts of each queue that holds something, or of which that is not known."""
    shards = [fleet.shard(view.queue, number) for view in held for number in view.shards]
    if not shards:
        return {}
    counts = flushing.flush_shards(
        fleet, shards, timeout_seconds=wait_seconds, watch=watch, guard=failures.of
    )
    if not wait_seconds:
        counts = {queue: _not_awaited(each) for queue, each in counts.items()}
    empty = {
        view.queue for view in held if not view.undelivered and not any(counts.get(view.queue, ()))
    }
    broken = {queue: _broken(counts.get(queue), exc) for queue, exc in failures.errors.items()}
    return {queue: each for queue, each in counts.items() if queue not in empty} | broken


def _calm(counted: tuple[str, FlushCounts]) -> bool:
    """Whether nothing keeps a queue's events: of many queues, the audit has the first ones."""
    return counted[1].reason in ("", NOT_AWAITED)


def _told(counted: tuple[str, FlushCounts]) -> str:
    """What became of a queue's events, for whoever reads the audit."""
    queue, each = counted
    why = f": {each.reason}" if each.reason else ""
    return (
        f"{queue}: {each.pending:,} on their way to VWO, {each.delivered:,} delivered, "
        f"{each.failed:,} not accepted{why}"
    )


def _broken(known: FlushCounts | None, exc: QueueUnavailable) -> FlushCounts:
    """The outcome for a queue of which a shard's keys cannot be used."""
    why = f"some of it could not be flushed: {exc}"
    if known is None:
        return FlushCounts(0, 0, 0, why)
    return known._replace(reason="; ".join(filter(None, (why, known.reason))))


def _untouched(stray: QueueView) -> FlushCounts:
    """The outcome for a queue that cannot be flushed, since no worker knows its destination."""
    return FlushCounts(0, 0, stray.undelivered, f"no worker can send it: {stray.stray}")


def _is_hopeless(fleet: Fleet, held: Sequence[QueueView]) -> bool:
    return listening_if_known(fleet) == [] or any(map(_needs_person, held))


def _needs_person(view: QueueView) -> bool:
    """Whether nobody will send what a queue holds, however long one waits."""
    stop = view.stopped
    return stop is not None and (stop.needs_person or stop.is_declined)


def _why_asleep(fleet: Fleet, held: Sequence[QueueView], counts: Mapping[str, FlushCounts]) -> str:
    """Why no worker takes the wake-up for what is left, "" if one does, or if nothing is."""
    left = [view for view in held if counts[view.queue].pending and not _needs_person(view)]
    if not left:
        return ""
    if listening_if_known(fleet) == []:
        return no_worker()
    return rousing.why_asleep(fleet, [fleet.shard(left[0].queue, left[0].shards[0])])


def _not_awaited(counts: FlushCounts) -> FlushCounts:
    """The same; where nothing was waited for, no time was over."""
    return counts._replace(reason=NOT_AWAITED) if counts.reason == TIME_OVER else counts


def _with_reason(counts: FlushCounts, why: str) -> FlushCounts:
    if not counts.pending or why in counts.reason:
        return counts
    told = "" if counts.reason in (TIME_OVER, NOT_AWAITED) else counts.reason
    return counts._replace(reason="; ".join(filter(None, (told, why))))
