"""The first page: whether events leave, where they are, how it went, and every queue. Nothing to lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vwo_celery.console.pages.flows import flow_of
from vwo_celery.console.pages.past import (
    DEFAULT_SPAN,
    SPAN_WORDS,
    pictures_of,
    stretch_of,
)
from vwo_celery.console.pages.rendering import address_of, render
from vwo_celery.console.pages.rows import rows_of
from vwo_celery.console.pages.trends import trend_of
from vwo_celery.console.pages.verdicts import judge
from vwo_celery.console.shared.exchange import Page
from vwo_celery.console.shared.visits import Visit
from vwo_celery.operating.doctor import Finding
from vwo_celery.operating.looks.knowing import unless_wrong
from vwo_celery.operating.looks.looking import Look
from vwo_celery.operating.looks.views import Ledger, QueueView
from vwo_celery.operating.looks.workers import WorkerView
from vwo_celery.operating.past.audit import Change, changes
from vwo_celery.operating.past.history import (
    SPANS,
    QueueHistory,
    Step,
    view_history,
    view_running,
    view_sum,
)
from vwo_celery.queue.words.registration import Registration

#: For so long a history serves all who ask, in seconds; a sample a minute is written.
HISTORY_SECONDS: Final = 5.0
#: Most queues of which each gets a line of its own.
MOST_HISTORIES: Final = 100


def overview(visit: Visit) -> Page:
    """The first page."""
    span, registered, shown = span_of(visit), visit.choose(), visit.look()
    hour = [*history_of_all(visit, registered, "1h").steps]
    document = document_of(
        shown, registered, visit.findings(),
        running=running_step(visit, registered, shown),
        past=hour if span == "1h" else history_of_all(visit, registered, span).steps,
        hour=hour,
        steps={each.queue: each.steps for each in _histories(visit, registered)},
        workers=visit.workers_if_known(), span=span, root=visit.root,
        changed=recent_changes(visit, span),
        wanted=visit.field("q"), idle=bool(visit.field("idle")),
    )  # fmt: skip
    verdict = document["verdict"]
    title = f"{verdict.title}: {visit.settings.namespace}"
    frame = {"title": title, "level": verdict.level, "as_table": bool(visit.field("table"))}
    return Page(title, render(visit, "overview.html", {**frame, **document}))


def span_of(visit: Visit) -> str:
    """The span of time that charts shall show."""
    wanted = visit.field("span", DEFAULT_SPAN)
    return wanted if wanted in SPANS else DEFAULT_SPAN


def history_of_all(visit: Visit, registered: Mapping[str, Registration], span: str) -> QueueHistory:
    """The history of all queues together over a span, which all requests of a moment share."""
    return visit.source.kept(
        f"history of all, {span}", HISTORY_SECONDS,
        lambda: view_sum(visit.fleet, registered, span_seconds=SPANS[span]),
    )  # fmt: skip


def _histories(visit: Visit, registered: Mapping[str, Registration]) -> list[QueueHistory]:
    """The last hour of each queue, where there are not too many for a line each."""
    if len(registered) > MOST_HISTORIES:
        return []
    return visit.source.kept(
        "histories", HISTORY_SECONDS,
        lambda: view_history(visit.fleet, registered, span_seconds=SPANS["1h"]),
    )  # fmt: skip


def running_step(
    visit: Visit, registered: Mapping[str, Registration], shown: Look, queue: str = ""
) -> Step | None:
    """The step that has not ended, of a queue, or of all together."""
    views = [view for view in shown.views if queue in ("", view.queue)]
    return visit.source.kept(
        f"running {queue}", 1.0,
        lambda: view_running(visit.fleet, registered, views, shown.now_ms),
    )  # fmt: skip


def recent_changes(visit: Visit, span: str, queues: Sequence[str] = ()) -> list[Change]:
    """Operators' changes within a span; none if the audit is of a wrong type."""
    fleet = visit.fleet
    since_ms = max(0, fleet.now_ms() - 1000 * SPANS[span])
    return unless_wrong(lambda: changes(fleet, since_ms=since_ms, queues=queues), [])


def document_of(
    shown: Look,
    registered: Mapping[str, Registration],
    found: Sequence[Finding],
    *,
    running: Step | None,
    past: Sequence[Step],
    hour: Sequence[Step],
    steps: Mapping[str, Sequence[Step]],
    workers: Sequence[WorkerView] | None,
    span: str,
    root: str = "./",
    changed: Sequence[Change] = (),
    wanted: str = "",
    idle: bool = False,
) -> dict[str, Any]:
    """What the page shows, from looks alone."""
    views = shown.views
    return {
        "verdict": judge(found, views),
        "flow": flow_of(views, lanes_of(shown, workers), trend_of(hour)),
        "ledger": sum_of(views),
        "pictures": pictures_of(stretch_of(past, running), changes=changed),
        "rows": rows_of(shown, registered, steps, wanted=wanted, idle=idle),
        "addresses": addresses(root, views),
        "now_ms": shown.now_ms,
        "span": span,
        "spans": SPANS,
        "span_words": SPAN_WORDS,
    }


def addresses(root: str, views: Sequence[QueueView]) -> dict[str, str]:
    """The address of each queue's page, for those names that cannot be another word."""
    return {view.queue: address_of(root, view.queue) for view in views if "-" in view.queue}


def lanes_of(shown: Look, workers: Sequence[WorkerView] | None) -> tuple[int, int] | None:
    """Lanes that hold a batch, and all lanes; None if a worker does not tell how many it has.

    Args:
        shown: The look.
        workers: The workers that listen; None if they are not known.
    """
    if workers is None:
        return None
    cards = [each.card for each in workers]
    if any(card is None for card in cards):
        return None
    return shown.leases, sum(card.concurrency for card in cards if card)


def sum_of(views: Sequence[QueueView]) -> Ledger:
    """The ledger of all queues together."""
    ledgers = [view.ledger for view in views]

    def add(name: str) -> int:
        return sum(getattr(each, name) for each in ledgers)

    return Ledger(
        queue="", accepted=add("accepted"), delivered=add("delivered"), dead=add("dead"),
        dropped=add("dropped"), pending=add("pending"), in_flight=add("in_flight"),
        released=add("released"), balanced=all(each.balanced for each in ledgers),
    )  # fmt: skip
