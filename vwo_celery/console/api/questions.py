"""All questions that the API answers: the documents of `vwo-celery … --json`, and what pages need.

Reads only: nothing to lose.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vwo_celery.console.api.question import Field, Question, number_of
from vwo_celery.console.shared.dead import Found, find
from vwo_celery.console.shared.payloads import shown_event
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.rights import Right
from vwo_celery.console.shared.sources import LOOK_SECONDS, Source
from vwo_celery.operating.batches import peeking
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import SCAN_EVENTS, events_of
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.operating.doctor.finding import Finding
from vwo_celery.operating.documents.health import HealthDocument, document_of, judge
from vwo_celery.operating.documents.jobs import JobDocument, job_document
from vwo_celery.operating.documents.queues import QueueFacts, queue_facts
from vwo_celery.operating.documents.status import Status, status_of
from vwo_celery.operating.documents.workers import Workers
from vwo_celery.operating.documents.workers import document_of as workers_of
from vwo_celery.operating.looks.lanes import Lanes, view_lanes
from vwo_celery.operating.operations import Counted, count_dead
from vwo_celery.operating.operations.jobs import list_jobs
from vwo_celery.operating.past import history as past
from vwo_celery.operating.past.audit import Change, changes
from vwo_celery.operating.past.history import SPANS, QueueHistory
from vwo_celery.text.amounts import read_span

if TYPE_CHECKING:
    from vwo_celery.console.shared.visits import Visit

_LISTED: Final = 50
_MOST_LISTED: Final = 1_000
_MOST_SCANNED: Final = 1_000_000
_FILTER: Final = Field("filter", "which dead letters are meant, such as `answer:413 died:>2h`; all")
_SCAN: Final = Field("scan_limit", f"most events that `event:` and `visitor:` read; {SCAN_EVENTS}")
_QUEUE: Final = Field("queue", "a queue's name; all queues", many=True)


class DeadLetters(msgspec.Struct, frozen=True):
    """Dead letters, the newest first.

    Attributes:
        batches: As many as were asked for.
        more: Whether there are others.
        not_looked_at: Events in batches that the filter may pick, but for `scan_limit`.
        unreadable: Shards whose batches cannot be read, each with the reason.
    """

    batches: list[DeadBatch]
    more: bool
    not_looked_at: int
    unreadable: list[str]


class CountedDead(msgspec.Struct, frozen=True):
    """What a redrive or a purge would change; its numbers go with the order.

    Attributes:
        counted: How much, until which moment, in which queues.
        not_looked_at: Events in batches that the filter may pick, but for `scan_limit`.
        unreadable: Shards whose batches cannot be read, each with the reason.
    """

    counted: Counted
    not_looked_at: int
    unreadable: list[str]


class ShownEvent(msgspec.Struct, frozen=True):
    """One event; the SDK key and the values of `console_mask` are masked.

    Attributes:
        state: "open", "ready", "released", "in_flight" or "dead".
        batch: Id of its batch; None in the open list.
        place: Its place in the batch or list, from 1 for the oldest.
        event: The event.
    """

    state: str
    batch: str | None
    place: int
    event: Any


def _status(visit: Visit) -> Status:
    seen = visit.source.seen()
    return status_of(seen.look, visit.settings, seen.away)


def _queues(visit: Visit) -> list[QueueFacts]:
    return queue_facts(visit.fleet, visit.choose(visit.every_field("queue")))


def _history(visit: Visit) -> QueueHistory:
    span = visit.field("span", "1h")
    if span not in SPANS:
        raise Refusal(400, f"span must be one of {', '.join(SPANS)}; {span!r} was given")
    chosen = visit.choose([visit.pieces["queue"]])
    (found,) = past.view_history(visit.fleet, chosen, span_seconds=SPANS[span])
    return found


def _peek(visit: Visit) -> list[ShownEvent]:
    queue, states = visit.pieces["queue"], visit.every_field("state")
    unknown = sorted({*states} - {*peeking.STATES})
    if unknown:
        raise Refusal(
            400, f"state must be one of {', '.join(peeking.STATES)}; {unknown[0]!r} was given"
        )
    registration = visit.choose([queue])[queue]
    wanted = [each for each in peeking.STATES if each in states] or peeking.LEAVING
    most = number_of(visit, "most", 10, _MOST_LISTED)
    found = peeking.peek(visit.fleet, queue, registration, wanted, most)
    key, mask = registration.destination.sdk_key, visit.settings.console_mask
    return [
        ShownEvent(each.state, each.batch, each.place, shown_event(each.event, key, mask))
        for each in found
    ]


def _find(visit: Visit) -> Found:
    limit = number_of(visit, "scan_limit", SCAN_EVENTS, _MOST_SCANNED)
    return find(visit, visit.field("filter"), limit)


def _dead(visit: Visit) -> DeadLetters:
    _, found, scan = _find(visit)
    batches = list(islice(found, number_of(visit, "most", _LISTED, _MOST_LISTED)))
    more = next(found, None) is not None
    return DeadLetters(batches, more, scan.not_looked_at, scan.unreadable)


def _count(visit: Visit) -> CountedDead:
    now_ms = visit.fleet.now_ms()
    _, found, scan = _find(visit)
    return CountedDead(count_dead(found, now_ms), scan.not_looked_at, scan.unreadable)


def _dead_events(visit: Visit) -> list[ShownEvent]:
    batch = visit.pieces["batch"]
    registered = visit.choose()
    each = next(find(visit, str(Filter(batches=(batch,)))).batches, None)
    if each is None:
        raise Refusal(404, f"no dead letter has the id {batch}")
    key, mask = registered[each.queue].destination.sdk_key, visit.settings.console_mask
    found = events_of(visit.fleet, each, number_of(visit, "most", 10, 5_000))
    return [
        ShownEvent("dead", batch, place, shown_event(event, key, mask))
        for place, event in enumerate(found, 1)
    ]


def _workers(visit: Visit) -> Workers:
    return workers_of(visit.workers_if_known(), visit.fleet)


def _audit(visit: Visit) -> list[Change]:
    text = visit.field("since", "1d")
    seconds = read_span(text)
    if seconds is None:
        raise Refusal(400, f"since must be a span such as 90s, 15m, 2h or 7d; {text!r} was given")
    fleet = visit.fleet
    since_ms = max(0, fleet.now_ms() - 1000 * seconds)
    found = changes(fleet, since_ms=since_ms, queues=visit.every_field("queue"))
    return [visit.discreet(each) for each in found]


def _jobs(visit: Visit) -> list[JobDocument]:
    return [visit.discreet(job_document(each)) for each in list_jobs(visit.fleet)]


def _scale(visit: Visit) -> Lanes:
    return visit.source.kept("lanes", LOOK_SECONDS, lambda: view_lanes(visit.fleet))


def _health(visit: Visit) -> HealthDocument:
    return visit.source.kept("health", LOOK_SECONDS, lambda: _judge(visit.source))


def _judge(source: Source) -> HealthDocument:
    fleet, away = source.opened()
    return document_of(judge(fleet, source.settings, away), away)


def _findings(visit: Visit) -> list[Finding]:
    return visit.findings()


#: The questions, in the order in which the reference has them.
QUESTIONS: Final = (
    Question("status", "What each queue holds, what is wrong with it, and who works.", Status, _status),
    Question("health", "Whether events leave in time.", HealthDocument, _health),
    Question(
        "findings", "What keeps events from leaving, each with its remedy; Celery's broker is not asked.",
        list[Finding], _findings,
    ),
    Question(
        "queues", "Where queues go, and when their batches leave.", list[QueueFacts], _queues, (_QUEUE,)
    ),
    Question(
        "queues/{queue}/history", "What came, what left and what waited, step by step.",
        QueueHistory, _history, (Field("span", f"{', '.join(SPANS)}; 1h"),),
    ),
    Question(
        "queues/{queue}/events", "The next events of a queue.", list[ShownEvent], _peek,
        (
            Field("state", f"{', '.join(peeking.STATES)}; all but dead", many=True),
            Field("most", f"most events, up to {_MOST_LISTED}; 10"),
        ),
        Right.PEEK,
    ),
    Question(
        "dead", "Dead letters, the newest first.", DeadLetters, _dead,
        (_FILTER, Field("most", f"most batches, up to {_MOST_LISTED}; {_LISTED}"), _SCAN),
    ),
    Question(
        "dead/count", "What a redrive or a purge would change.", CountedDead, _count, (_FILTER, _SCAN),
    ),
    Question(
        "dead/{batch}/events", "The events of a dead letter, the oldest first.",
        list[ShownEvent], _dead_events, (Field("most", "most events; 10"),), Right.PEEK,
    ),
    Question("workers", "The workers that listen, and in what they differ.", Workers, _workers),
    Question(
        "audit", "Who changed what, and what came of it.", list[Change], _audit,
        (Field("since", "how far to look back, such as 90s, 15m, 2h or 7d; 1d"), _QUEUE),
    ),
    Question("jobs", "Bulk work that workers do, or did in the last hour.", list[JobDocument], _jobs),
    Question("scale", "How many lanes would find work now, for an autoscaler.", Lanes, _scale),
)  # fmt: skip
