"""What a key would change, in words and in numbers, before somebody agrees; and the change itself.

Each plan is made by a look that changes nothing. It acts through `operating.operations`, so that each
change is in the audit. If the process dies in an act, what was changed stays so, and the same key does
the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from vwo_celery.errors import QueueUnknown
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import Scan, find_dead
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.operating.batches.listing import ListedBatch
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.looks.inspector import QueueView
from vwo_celery.operating.operations import Amount, Brake, Counted, Done, Order
from vwo_celery.operating.past.audit import Actor
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import count, span

Watch = Callable[[Amount], None]


class Means(NamedTuple):
    """What an act is given.

    Attributes:
        fleet: The queues.
        actor: Who asks for it.
        reason: Their reason, "" for none.
        brake: What stops bulk work after the batch that it is at.
        watch: Called with what has been changed so far.
    """

    fleet: Fleet
    actor: Actor
    reason: str
    brake: Brake
    watch: Watch


class Plan(NamedTuple):
    """One change, before somebody agrees to it.

    Attributes:
        title: Its name and what it is done to.
        lines: What it will do.
        act: Does it; what it did, in words.
        destroys: Whether events are dropped for good.
        takes_reason: Whether a reason may be given.
        batches: Number of batches that it goes through; None where it is done at once.
    """

    title: str
    lines: Sequence[str]
    act: Callable[[Means], str]
    destroys: bool = False
    takes_reason: bool = False
    batches: int | None = None


class Nothing(NamedTuple):
    """There is nothing to change, and why."""

    why: str


def plan_flush(fleet: Fleet, queue: str) -> Plan | Nothing:
    """Hand all that a queue holds to the workers now.

    Raises:
        QueueUnknown: There is no such queue.
        QueueUnavailable: Redis did not answer.
    """
    view, _ = _view(fleet, queue)
    if not view.undelivered:
        return Nothing(f"{queue} holds nothing that could be sent")
    held = f"{view.open:,} open, {view.ready:,} ready, {view.released:,} released"
    lines = [
        f"{count(view.undelivered, 'event')} ({held}, {view.in_flight:,} in flight) go to the workers "
        "now, whatever their age",
    ]
    if view.stopped is not None:
        lines.append(f"but nothing is sent while it is so: {view.stopped}")
    return Plan(f"Flush {queue}", lines, lambda means: _flush(means, queue, view.undelivered))


def _flush(means: Means, queue: str, events: int) -> str:
    done = operations.flush(means.fleet, means.actor, [queue], wait_seconds=None)
    counts = done.counts.get(queue)
    why = "" if counts is None or counts.reason == operations.TIME_OVER else counts.reason
    if why:
        return f"flushed {queue}, but {count(counts.pending if counts else 0, 'event')} stay: {why}"
    return f"flushed {queue}: a worker has taken the wake-up for {count(events, 'event')}"


def plan_pause(fleet: Fleet, queue: str) -> Plan | Nothing:
    """Pause a queue, or resume one that is stopped already.

    Raises:
        QueueUnknown: There is no such queue.
        QueueUnavailable: Redis did not answer.
    """
    view, registration = _view(fleet, queue)
    if view.stopped is not None:
        return _plan_resume(view, registration)
    lines = [
        "Nothing of it is sent until somebody resumes it; events that come are kept, now "
        f"{view.undelivered:,}",
        f"{count(view.in_flight, 'event')} in flight are settled as usual",
    ]
    room = _room(view)
    return Plan(
        f"Pause {queue}",
        [*lines, *([room] if room else [])],
        lambda means: _pause(means, queue, registration),
        takes_reason=True,
    )


def _room(view: QueueView) -> str:
    """How much more a queue takes before it is full, in words; "" if that is not known."""
    if view.limits is None:
        return ""
    events = view.limits.capacity_events * max(1, len(view.shards)) - view.undelivered
    return f"it takes about {count(max(0, events), 'event')} more before it is full"


def _pause(means: Means, queue: str, registration: Registration) -> str:
    done = operations.pause(means.fleet, means.actor, {queue: registration}, means.reason)
    return f"paused {queue}" if done else f"{queue} had been paused before, and is as it was"


def _plan_resume(view: QueueView, registration: Registration) -> Plan:
    lines = [
        f"It is {view.stopped}",
        f"{count(view.undelivered, 'event')} are sent again, those released at once",
    ]

    def act(means: Means) -> str:
        done = operations.resume(means.fleet, means.actor, {view.queue: registration})
        if done:
            return f"resumed {view.queue}: the workers are woken"
        return f"{view.queue} was not stopped any more, and is as it was"

    return Plan(f"Resume {view.queue}", lines, act)


def _view(fleet: Fleet, queue: str) -> tuple[QueueView, Registration]:
    registered = fleet.registrations()
    chosen = inspector.choose(registered.readable, [queue], registered.unreadable)
    views = inspector.view_queues(fleet, chosen)
    if not views:
        raise QueueUnknown(f"the part of the Redis Cluster with {queue!r} is away")
    return views[0], chosen[queue]


#: How each change of dead letters is told: its name, what it did, what it will do.
_DEAD: Final = {
    "redrive": (
        "Redrive", "redriven",
        "They go back to be sent, unchanged; what VWO refuses again dies again, and is left alone",
    ),
    "purge": (
        "Purge", "purged",
        "They are dropped for good, and counted in the ledger as dropped (purged)",
    ),
}  # fmt: skip


def plan_dead(fleet: Fleet, operation: str, wanted: Filter) -> Plan | Nothing:
    """Redrive or purge all dead letters that a filter picks: all that match, not what is on the screen.

    Args:
        fleet: The queues.
        operation: "redrive" or "purge".
        wanted: The filter.

    Raises:
        QueueUnknown: It names a queue that there is not.
        QueueUnavailable: Redis did not answer.
    """
    scan, now_ms = Scan(), fleet.now_ms()
    counted = operations.count_dead(_found(fleet, wanted, scan), now_ms)
    if not counted.amount.batches:
        return Nothing("no dead letter matches" if wanted else "there are no dead letters")
    title, _, will = _DEAD[operation]
    picked = f"that match {wanted}" if wanted else "all there are"
    lines = [
        f"{spelled(counted.amount)} of {count(len(counted.queues), 'queue')}, {picked}",
        will,
        "Those that die from now on are left out",
    ]
    if not scan.complete:
        lines.append(_not_looked_at(scan))

    def act(means: Means) -> str:
        return _change_dead(means, operation, wanted, counted)

    return Plan(
        f"{title} {spelled(counted.amount)}", lines, act,
        destroys=operation == "purge", batches=counted.amount.batches,
    )  # fmt: skip


def _not_looked_at(scan: Scan) -> str:
    if scan.unreadable:
        return f"left out, since it cannot be read: {scan.unreadable[0]}"
    return (
        f"{count(scan.not_looked_at, 'event')} not looked at: event: and visitor: read "
        f"{scan.most_events:,} at most"
    )


def _found(fleet: Fleet, wanted: Filter, scan: Scan) -> Iterator[DeadBatch]:
    registered = fleet.registrations()
    chosen = inspector.choose(registered.readable, wanted.queues, registered.unreadable)
    return find_dead(fleet, chosen, wanted, scan)


def _change_dead(means: Means, operation: str, wanted: Filter, counted: Counted) -> str:
    change = {"redrive": operations.redrive, "purge": operations.purge}[operation]
    order = Order(counted, filter=str(wanted), brake=means.brake, watch=means.watch)
    done = change(means.fleet, means.actor, _found(means.fleet, wanted, Scan()), order)
    return _told(_DEAD[operation][1], done)


def _told(word: str, done: Done) -> str:
    parts = [f"{word} {spelled(done.changed)}"]
    if done.vanished:
        parts.append(f"{count(done.vanished, 'event')} had vanished from Redis")
    if done.left.events:
        parts.append(f"{spelled(done.left)} are as they were")
    return f"{'stopped: ' if done.stopped else ''}{'; '.join(parts)}"


def spelled(amount: Amount) -> str:
    """An amount in words."""
    return f"{count(amount.events, 'event')} in {count(amount.batches, 'batch', 'batches')}"


def plan_event(fleet: Fleet, operation: str, batch: ListedBatch, place: int) -> Plan | Nothing:
    """Redrive or purge a single event of a dead letter.

    Args:
        fleet: The queues.
        operation: "redrive" or "purge".
        batch: The dead letter.
        place: The event's place in it, from 1.

    Raises:
        QueueUnknown: Its queue is not registered any more.
        QueueUnavailable: Redis did not answer.
    """
    wanted = Filter(queues=(batch.queue,), batches=(batch.batch,))
    dead = next(_found(fleet, wanted, Scan()), None)
    if dead is None:
        return Nothing(f"batch {batch.batch} is not dead any more")
    title, word, _ = _DEAD[operation]
    drop = operation == "purge"
    fate = "dropped for good" if drop else "sent again in a batch of its own"
    lines = [
        f"It is {fate}; the other {count(dead.events - 1, 'event')} of {dead.batch} stay dead",
        f"the batch died {span(dead.died_age_seconds)} ago: {dead.reason}",
    ]

    def act(means: Means) -> str:
        done = operations.pick_out(means.fleet, means.actor, dead, [place], drop=drop)
        if not done.events:
            return (
                f"batch {dead.batch} is not dead any more, or not as it was shown: nothing changed"
            )
        rest = f"; the others are batch {done.rest} now" if done.rest else ""
        return f"{word} event {place} of {dead.batch}{rest}"

    return Plan(f"{title} event {place} of {dead.batch}", lines, act, destroys=drop)
