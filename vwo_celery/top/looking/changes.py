"""What a key would change of dead letters, of all of them or of single events; and the change itself.

See `plans`. If the process dies in an act, what was changed stays so, and the same key does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import Scan, find_dead
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.operating.batches.listing import ListedBatch
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.operations import Amount, Counted, Done, Order
from vwo_celery.queue.fleet import Fleet
from vwo_celery.text.amounts import count, span
from vwo_celery.top.looking.plans import Means, Nothing, Plan

#: Most events that a question names by their places.
_NAMED_PLACES: Final = 12
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


def plan_dead(
    fleet: Fleet, operation: str, wanted: Filter, *, marked: bool = False
) -> Plan | Nothing:
    """Redrive or purge all dead letters that a filter picks: all that match, not what is on the screen.

    Args:
        fleet: The queues.
        operation: "redrive" or "purge".
        wanted: The filter.
        marked: Whether it names batches that somebody has marked, which are too many to be named.

    Raises:
        QueueUnknown: It names a queue that there is not.
        QueueUnavailable: Redis did not answer.
    """
    scan, now_ms = Scan(), fleet.now_ms()
    counted = operations.count_dead(_found(fleet, wanted, scan), now_ms)
    if not counted.amount.batches:
        return Nothing("no dead letter matches" if wanted else "there are no dead letters")
    title, _, will = _DEAD[operation]
    picked = "those marked" if marked else f"that match {wanted}" if wanted else "all there are"
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


def plan_events(
    fleet: Fleet, operation: str, batch: ListedBatch, places: Sequence[int]
) -> Plan | Nothing:
    """Redrive or purge single events of a dead letter.

    Args:
        fleet: The queues.
        operation: "redrive" or "purge".
        batch: The dead letter.
        places: The events' places in it, from 1; at least one.

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
    meant = _meant(places)
    lines = [
        f"{'It is' if len(places) == 1 else 'They are'} {fate}; the other "
        f"{count(dead.events - len(places), 'event')} of {dead.batch} stay dead",
        f"the batch died {span(dead.died_age_seconds)} ago: {dead.reason}",
    ]

    def act(means: Means) -> str:
        done = operations.pick_out(means.fleet, means.actor, dead, places, drop=drop)
        if not done.events:
            return (
                f"batch {dead.batch} is not dead any more, or not as it was shown: nothing changed"
            )
        rest = f"; the others are batch {done.rest} now" if done.rest else ""
        return f"{word} {meant} of {dead.batch}{rest}"

    return Plan(f"{title} {meant} of {dead.batch}", lines, act, destroys=drop)


def _meant(places: Sequence[int]) -> str:
    if len(places) == 1:
        return f"event {places[0]}"
    named = ", ".join(map(str, places[:_NAMED_PLACES]))
    more = ", …" if len(places) > _NAMED_PLACES else ""
    return f"{len(places):,} events ({named}{more})"
