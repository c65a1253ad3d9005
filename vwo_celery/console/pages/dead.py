"""Dead letters: why they died, what they hold, and what can be done about all that match a filter.

Reads only: nothing to lose.
"""

from __future__ import annotations

from typing import Final

from vwo_celery.console.actions.filing import why_not
from vwo_celery.console.pages.queue import as_text
from vwo_celery.console.pages.rendering import render
from vwo_celery.console.shared.dead import find
from vwo_celery.console.shared.exchange import Page
from vwo_celery.console.shared.payloads import shown_event
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.rights import Right
from vwo_celery.console.shared.visits import Visit
from vwo_celery.errors import FilterError, QueueUnknown
from vwo_celery.operating.batches.filters import WORDS, Filter
from vwo_celery.operating.batches.finding import SCAN_EVENTS, Scan, events_of
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.operating.batches.grouping import Group, Grouped, group
from vwo_celery.operating.documents.jobs import JobDocument, job_document
from vwo_celery.operating.looks.knowing import unless_wrong
from vwo_celery.operating.operations.jobs import list_jobs

#: Batches that the page shows one by one, those that it groups, and events of one that it shows.
_SHOWN: Final = 50
_MOST: Final = 5_000
_EVENTS: Final = 20
_NOTHING: Final = Grouped((), (), 0, 0, more=False)


def dead(visit: Visit) -> Page:
    """The page of all dead letters, or of those that a filter picks."""
    typed = visit.field("filter")
    error, found, scan, wanted = "", _NOTHING, Scan(), Filter()
    try:
        wanted, batches, scan = find(visit, typed)
        found = group(batches, shown=_SHOWN, most=_MOST)
    except (FilterError, QueueUnknown, Refusal) as exc:
        error = str(exc).removeprefix("filter: ")
    listed = unless_wrong(lambda: list_jobs(visit.fleet), [])
    jobs = [visit.discreet(job_document(each)) for each in listed]
    title = f"Dead letters: {found.events:,} events" if found.events else "Dead letters"
    document = {
        "title": title,
        "level": "problem" if error else "warn" if found.batches else "ok",
        "typed": typed,
        "error": error,
        "found": found,
        "scan": scan,
        "narrowed": lambda each: _narrowed(wanted, each),
        "words": WORDS,
        "may_export": visit.may(Right.OPERATE) and why_not(visit) is None,
        "jobs": list(reversed(jobs)),
        "going_on": any(_goes_on(each) for each in jobs),
        "scan_events": SCAN_EVENTS,
        "now_ms": visit.look().now_ms,
    }
    return Page(title, render(visit, "dead.html", document), here="dead")


def _narrowed(wanted: Filter, each: Group) -> str:
    """The filter by which a group alone is picked."""
    return str(wanted.narrowed(queues=[each.queue], reason=each.reason))


def _goes_on(job: JobDocument) -> bool:
    return job.state in ("waiting", "running")


def batch(visit: Visit) -> Page:
    """The page of one dead letter; its events for those alone who may see them."""
    name = visit.pieces["batch"]
    each = next(find(visit, str(Filter(batches=(name,)))).batches, None)
    if each is None:
        raise Refusal(
            404,
            f"no dead letter has the id {name}",
            "it may have been redriven or purged: see Audit",
        )
    title = f"Dead letter {each.batch}"
    document = {
        "title": title,
        "level": "warn",
        "each": each,
        "events": _events(visit, each) if visit.may(Right.PEEK) else (),
        "only": f"batch:{each.batch}",
    }
    return Page(title, render(visit, "batch.html", document), here="dead")


def _events(visit: Visit, each: DeadBatch) -> list[tuple[int, list[str]]]:
    registration = visit.choose([each.queue])[each.queue]
    key, mask = registration.destination.sdk_key, visit.settings.console_mask
    found = events_of(visit.fleet, each, _EVENTS)
    return [(place, as_text(shown_event(event, key, mask))) for place, event in enumerate(found, 1)]
