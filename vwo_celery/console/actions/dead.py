"""Redrive and purge dead letters: by a worker, as a job, or single events of one at once.

What was shown goes with the order, and is counted again: where more matches now, nothing is ordered. If
this process dies after the order, the job waits for its worker, and is shown so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from vwo_celery.connections.errors import is_error_reply
from vwo_celery.console.actions.action import Action
from vwo_celery.console.shared.dead import find
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.rights import Right
from vwo_celery.errors import QueueUnavailable, VwoCeleryError
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import SCAN_EVENTS
from vwo_celery.operating.operations import Amount, Counted, Pace, jobs
from vwo_celery.text.amounts import count

if TYPE_CHECKING:
    from vwo_celery.console.shared.visits import Visit

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class BulkOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The dead letters that are meant, and what was shown of them.

    Attributes:
        filter: Which are meant; "" for all.
        until_ms: Unix ms of the count, `counted.until_ms`; what died later is left alone.
        batches: Number of batches that was shown; if more match, nothing is changed.
        scan_limit: Most events that `event:` and `visitor:` read.
        rate: Most events a second; as fast as Redis allows.
        most: Most batches to change; all.
    """

    filter: str = ""
    until_ms: int | None = None
    batches: int | None = None
    scan_limit: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = SCAN_EVENTS
    rate: Annotated[float, msgspec.Meta(gt=0)] | None = None
    most: _Positive | None = None


class PickOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Single events of one dead letter.

    Attributes:
        batch: Its id.
        places: The events' places in it, from 1 for the oldest.
    """

    batch: str
    places: Annotated[tuple[_Positive, ...], msgspec.Meta(min_length=1)]


class Ordered(msgspec.Struct, frozen=True):
    """A job that a worker does.

    Attributes:
        job: Its id; `jobs` tells how far it is, and `stop` ends it.
        counted: What it is about to change.
    """

    job: str
    counted: Amount


class Picked(msgspec.Struct, frozen=True):
    """What became of the events.

    Attributes:
        events: Number of events that were sent again, or dropped.
        rest: Id of the dead letter that has the others; "" if there are none.
    """

    events: int
    rest: str


def _order(visit: Visit, order: BulkOrder, *, operation: str) -> Ordered:
    if operation == "purge" and (order.batches is None or order.until_ms is None):
        raise Refusal(
            400,
            "a purge needs batches and until_ms, as they were counted",
            "ask for dead/count first",
        )
    found = find(visit, order.filter, order.scan_limit)
    _check_new(visit, order, operation, str(found.wanted))
    until_ms = visit.fleet.now_ms() if order.until_ms is None else order.until_ms
    counted = operations.count_dead(found.batches, until_ms)
    _check(counted, order.batches)
    with _what_needs_no_job(operation):
        job = jobs.order_job(
            visit.fleet, visit.actor, operation, counted, filter=found.wanted,
            scan_limit=order.scan_limit, pace=Pace(order.rate, order.most),
        )  # fmt: skip
    if other := jobs.give_way(visit.fleet, job):
        raise _ordered_already(other)
    _tell_a_worker(visit, job, operation)
    return Ordered(job, counted.amount)


def _check_new(visit: Visit, order: BulkOrder, operation: str, wanted: str) -> None:
    """Refuse a form that is sent twice: by a double click, or as its answer is loaded again."""
    if order.until_ms is None:
        return
    sent = jobs.Sent(operation, wanted, order.until_ms, visit.actor.name)
    for each in jobs.under_way(visit.fleet, sent):
        raise _ordered_already(each.job)


def _ordered_already(job: str) -> Refusal:
    return Refusal(
        409, f"this was ordered already, as job {job}; nothing more was ordered",
        "see how far it is; for more, look again, and decide anew",
    )  # fmt: skip


def _check(counted: Counted, shown: int | None) -> None:
    number = counted.amount.batches
    if not number:
        raise Refusal(409, "no dead letter matches any more; nothing was changed")
    if shown is not None and number > shown:
        raise Refusal(
            409, f"{count(number, 'batch', 'batches')} match now, and {shown:,} were shown; nothing was "
            "changed", "look again, and decide anew",
        )  # fmt: skip


@contextmanager
def _what_needs_no_job(operation: str) -> Iterator[None]:
    """Lead on where Redis refuses a job: a full one stores none, and a purge would give it room."""
    try:
        yield
    except QueueUnavailable as exc:
        if not is_error_reply(exc.__cause__):
            raise
        raise Refusal(
            503, f"{exc}: nothing was ordered, and nothing was changed",
            f"vwo-celery dead {operation} does without a job",
        ) from exc  # fmt: skip


def _tell_a_worker(visit: Visit, job: str, operation: str) -> None:
    """Send the job's message; without a broker, the job is given up."""
    from vwo_celery.celery.worker import background  # Celery takes half a second to import

    try:
        background.publish_job(visit.source.celery_app(), job)
    except VwoCeleryError as exc:
        if not jobs.give_up(visit.fleet, job, str(exc)):
            return  # the broker had the message all the same, and a worker has begun
        raise Refusal(
            503, f"no worker could be told: {str(exc).partition(';')[0]}. Nothing was changed",
            f"start the broker; vwo-celery dead {operation} does without one",
        ) from exc  # fmt: skip


def _pick(visit: Visit, order: PickOrder, *, drop: bool) -> Picked:
    each = next(find(visit, str(Filter(batches=(order.batch,)))).batches, None)
    if each is None:
        raise Refusal(409, f"batch {order.batch} is not dead any more; nothing was changed")
    beyond = [place for place in order.places if place > each.events]
    if beyond:
        raise Refusal(
            409, f"batch {each.batch} has {count(each.events, 'event')}, and none at place "
            f"{beyond[0]:,}; nothing was changed",
        )  # fmt: skip
    done = operations.pick_out(visit.fleet, visit.actor, each, order.places, drop=drop)
    if not done.events:
        why = "events of it are gone from Redis" if done.missing else "it is not dead any more"
        raise Refusal(409, f"batch {each.batch} is left as it is: {why}")
    return Picked(done.events, "" if done.events == each.events else done.rest)


def _action(name: str, meaning: str, right: Right, act: Callable[..., Any]) -> Action:
    return Action(name, meaning, right, BulkOrder, Ordered, act)


REDRIVE: Final = _action(
    "redrive", "Have a worker put dead letters back to be sent.", Right.OPERATE,
    partial(_order, operation="redrive"),
)  # fmt: skip
PURGE: Final = _action(
    "purge", "Have a worker drop dead letters for good.", Right.PURGE,
    partial(_order, operation="purge"),
)  # fmt: skip
REDRIVE_EVENTS: Final = Action(
    "redrive-events", "Send single events of a dead letter again.", Right.OPERATE, PickOrder, Picked,
    partial(_pick, drop=False),
)  # fmt: skip
PURGE_EVENTS: Final = Action(
    "purge-events", "Drop single events of a dead letter for good.", Right.PURGE, PickOrder, Picked,
    partial(_pick, drop=True),
)  # fmt: skip
