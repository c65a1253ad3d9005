"""Flush, at an operator's request: send what queues hold now, and wait until VWO has it.

If the process dies while it waits, the events are sent nevertheless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from vwo_celery.operating.looks import inspector
from vwo_celery.operating.looks.inspector import QueueView
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
    """

    counts: dict[str, FlushCounts]
    sealed: bool
    hopeless: bool
    asleep: bool = False

    @property
    def left(self) -> bool:
        """Whether some of it is not delivered."""
        return any(each.pending or each.failed for each in self.counts.values())

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

    There is no wait where every one of the queues is paused.

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
    held = [view for view in inspector.view_queues(fleet, chosen) if view.undelivered]
    strays = [] if names else inspector.view_strays(fleet, *found)
    wait = 0.0 if all(view.paused for view in held) else wait_seconds or 0.0
    matched = sum(view.undelivered for view in held)
    with recorded(
        fleet, actor, "flush", queues=[view.queue for view in held], matched=matched
    ) as entry:
        shards = [fleet.shard(view.queue, number) for view in held for number in view.shards]
        counts = (
            flushing.flush_shards(fleet, shards, timeout_seconds=wait, watch=watch)
            if shards
            else {}
        )
        if not wait:
            counts = {queue: _not_awaited(each) for queue, each in counts.items()}
        # Without a wait, all that a flush does is to hand the events to the workers.
        entry.done = sum(each.delivered for each in counts.values()) if wait else matched
        asleep = _why_asleep(fleet, held, counts) if wait_seconds is None else ""
        if asleep:
            counts = {queue: _with_reason(each, asleep) for queue, each in counts.items()}
        counts |= {view.queue: _untouched(view) for view in strays if view.undelivered}
        entry.note = "; ".join(map(_told, sorted(counts.items(), key=_calm)))
    hopeless = any(view.undelivered for view in strays) or _is_hopeless(fleet, held)
    return Flushed(counts, bool(held), hopeless, bool(asleep))


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
