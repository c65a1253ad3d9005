"""Flush, at an operator's request: send what queues hold now, and wait until VWO has it.

If the process dies while it waits, the events are sent nevertheless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from vwo_celery.operating import inspector
from vwo_celery.operating.audit import Actor, recorded
from vwo_celery.operating.inspector import QueueView
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.listening import listening_if_known
from vwo_celery.queue.work import flushing
from vwo_celery.queue.work.flushing import FlushCounts


class Flushed(msgspec.Struct, frozen=True):
    """The result of a flush.

    Attributes:
        counts: The result of each queue that held something.
        sealed: Whether any of them could be flushed.
        hopeless: Whether nobody will send some of it, however long one waits.
    """

    counts: dict[str, FlushCounts]
    sealed: bool
    hopeless: bool

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
    wait_seconds: float = 0.0,
    watch: Callable[[FlushCounts], None] = lambda _: None,
) -> Flushed:
    """Seal what queues hold now, whatever its age, wake the workers, and wait for the delivery.

    There is no wait where every one of the queues is paused.

    Args:
        fleet: The queues.
        actor: Who asks for it.
        names: The queues to flush; none for all.
        wait_seconds: Longest wait; 0 only wakes the workers.
        watch: Called at each poll with the counts of all queues together.

    Raises:
        QueueUnknown: There is no such queue, or its registration cannot be read.
        QueueUnavailable: Redis did not answer; what is pending stays pending.
    """
    found = fleet.registrations()
    chosen = inspector.choose(found.readable, names, found.unreadable)
    held = [view for view in inspector.view_queues(fleet, chosen) if view.undelivered]
    strays = [] if names else inspector.view_strays(fleet, *found)
    wait = 0.0 if all(view.paused for view in held) else wait_seconds
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
        # Without a wait, all that a flush does is to hand the events to the workers.
        entry.done = sum(each.delivered for each in counts.values()) if wait else matched
    counts |= {view.queue: _untouched(view) for view in strays if view.undelivered}
    hopeless = any(view.undelivered for view in strays) or _is_hopeless(fleet, held)
    return Flushed(counts, bool(held), hopeless)


def _untouched(stray: QueueView) -> FlushCounts:
    """The outcome for a queue that cannot be flushed, since no worker knows its destination."""
    return FlushCounts(0, 0, stray.undelivered, f"no worker can send it: {stray.stray}")


def _is_hopeless(fleet: Fleet, held: Sequence[QueueView]) -> bool:
    stops = [view.stopped for view in held if view.stopped]
    nobody = listening_if_known(fleet) == []
    return nobody or any(stop.needs_person or stop.by == "workers" for stop in stops)
