"""One queue: what is wrong with it, where its events are, how it went, its batches, what was done to it.

Reads only: nothing to lose.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from vwo_celery.console.pages.flows import flow_of
from vwo_celery.console.pages.overview import (
    HISTORY_SECONDS,
    addresses,
    lanes_of,
    recent_changes,
    running_step,
    span_of,
)
from vwo_celery.console.pages.past import SPAN_WORDS, pictures_of, stretch_of
from vwo_celery.console.pages.rendering import render
from vwo_celery.console.pages.rows import row_of
from vwo_celery.console.pages.trends import trend_of
from vwo_celery.console.shared.exchange import Page
from vwo_celery.console.shared.payloads import shown_event
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.visits import Visit
from vwo_celery.operating.batches import peeking
from vwo_celery.operating.batches.listing import BATCH_STATES, ListedBatch, list_batches
from vwo_celery.operating.batches.showing import cut
from vwo_celery.operating.documents.queues import destination_facts
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.operating.past.history import SPANS, QueueHistory, view_history
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import size, span

#: Batches of each state that the page shows, and changes.
_MOST_BATCHES: Final = 10
_MOST_CHANGES: Final = 10
#: Events that a look at what waits shows.
_MOST_EVENTS: Final = 20


def queue(visit: Visit) -> Page:
    """The page of one queue."""
    name = visit.pieces.get("queue") or visit.field("name")
    shown = visit.look()
    view = next((each for each in shown.views if each.queue == name), None)
    if view is None:
        visit.choose([name])  # says which names are near
        raise Refusal(404, "this queue was registered a moment ago", "look again")
    registration = visit.fleet.registrations().readable.get(name)
    chosen = span_of(visit)
    document = {
        "view": view,
        "registration": registration,
        "facts": _facts(registration) if registration else (),
        "now_ms": shown.now_ms,
        "span": chosen,
        "spans": SPANS,
        "span_words": SPAN_WORDS,
        "as_table": bool(visit.field("table")),
        "addresses": addresses(visit.root, [each for each in shown.views if each.queue != name]),
        "answers": _answers(shown.tallies.get(name)),
        "changes": [visit.discreet(each) for each in recent_changes(visit, "90d", [name])][
            : -_MOST_CHANGES - 1 : -1
        ],
        **_of_time(visit, view, registration, chosen),
        "batches": _batches(visit, view, registration),
    }
    row = row_of(view, shown, registration, ())
    title = f"{name}: {_state(view)}"
    frame = {"title": title, "level": row.level, "row": row, "state": _state(view)}
    return Page(title, render(visit, "queue.html", {**frame, **document}))


def _state(view: QueueView) -> str:
    """The queue in a word or two."""
    if view.stray:
        return "no worker can send it"
    if view.stopped is not None and view.stopped.is_declined:
        return "declined by every worker"
    if view.stopped is not None:
        return "paused" if view.stopped.needs_person else "stopped"
    if view.idle:
        return "holds nothing"
    return "late" if view.late_seconds > 1 else "on its way"


def _of_time(
    visit: Visit, view: QueueView, registration: Registration | None, chosen: str
) -> dict[str, Any]:
    """What the page says of how it goes."""
    hour = _history(visit, view.queue, registration, "1h")
    past = hour if chosen == "1h" else _history(visit, view.queue, registration, chosen)
    changed = recent_changes(visit, chosen, [view.queue])
    lanes = lanes_of(visit.look(), visit.workers_if_known())
    known = {} if registration is None else {view.queue: registration}
    running = running_step(visit, known, visit.look(), view.queue)
    return {
        "flow": flow_of([view], lanes, trend_of(hour.steps)),
        "pictures": pictures_of(
            stretch_of(past.steps, running),
            changes=changed,
            interval_seconds=view.interval_seconds,
        ),
    }


def _history(
    visit: Visit, name: str, registration: Registration | None, chosen: str
) -> QueueHistory:
    if registration is None:
        return QueueHistory(name, 60.0, ())
    (found,) = visit.source.kept(
        f"history of {name}, {chosen}", HISTORY_SECONDS,
        lambda: view_history(visit.fleet, {name: registration}, span_seconds=SPANS[chosen]),
    )  # fmt: skip
    return found


def _facts(registration: Registration) -> tuple[tuple[str, str], ...]:
    """Where it goes, and by which limits, as name and value."""
    limits, told = registration.limits, destination_facts(registration)
    wait = span(limits.interval_ms / 1000) if limits.wait_ms else "none: each event is a request"
    return (
        ("sent to", told["origin"]),
        ("account", told["account_id"]),
        ("SDK key", told["sdk_key"]),
        ("events of", f"{told['generation']}, as {registration.destination.sdk_words}"),
        ("a batch leaves at", f"{limits.events_per_request:,} events, or after {wait}"),
        (
            "at most",
            f"{size(limits.batch_bytes)} a batch, {limits.parallel} batches at once a shard",
        ),
        (
            "holds at most",
            f"{limits.capacity_events:,} events, {size(limits.capacity_bytes)} a shard",
        ),
        ("shards", str(registration.shards)),
        ("called back", registration.flush_callback or "nobody"),
    )


def _answers(tally: Any) -> list[tuple[str, int, float]]:
    """VWO's answers since they are counted: answer, requests, share of all."""
    if tally is None or not tally.requests:
        return []
    ordered = sorted(tally.answers.items(), key=lambda pair: -pair[1])
    return [(answer, number, number / tally.requests) for answer, number in ordered if number]


def _batches(
    visit: Visit, view: QueueView, registration: Registration | None
) -> list[tuple[str, Sequence[ListedBatch]]]:
    """The first batches of each state that has any."""
    if registration is None:
        return []
    lists = [
        (state, list_batches(visit.fleet, view.queue, registration, state, _MOST_BATCHES))
        for state in BATCH_STATES
    ]
    return [(state, found) for state, found in lists if found]


def events(visit: Visit) -> Page:
    """The next events of a queue, for those who may see them."""
    name, state = visit.pieces["queue"], visit.field("state")
    registration = visit.choose([name])[name]
    wanted = [each for each in peeking.STATES if each == state] or peeking.LEAVING
    found = peeking.peek(visit.fleet, name, registration, wanted, _MOST_EVENTS)
    key, mask = registration.destination.sdk_key, visit.settings.console_mask
    shown = [(each, as_text(shown_event(each.event, key, mask))) for each in found]
    title = f"Next events of {name}"
    document = {"title": title, "queue": name, "events": shown, "state": state}
    return Page(
        title, render(visit, "events.html", {**document, "states": peeking.STATES}), here="-"
    )


def as_text(event: Any) -> list[str]:
    """An event as lines of text."""
    text = event if isinstance(event, str) else json.dumps(event, indent=2, ensure_ascii=False)
    return cut(text).split("\n")
