"""The pages after an action, and where something kept the console from answering. Nothing to lose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from vwo_celery.console.actions import Action
from vwo_celery.console.actions.dead import Ordered, Picked
from vwo_celery.console.actions.sending import FlushedQueue, MadeDue, Paused, Resumed
from vwo_celery.console.pages.rendering import address_of, link, render
from vwo_celery.console.shared.exchange import Last, Page
from vwo_celery.console.shared.visits import Visit
from vwo_celery.operating.documents.jobs import JobDocument
from vwo_celery.operating.operations import Amount
from vwo_celery.text.amounts import count

#: What keeps the console from answering, in a few words, by the HTTP status.
_HEADINGS: Final = {
    400: "This cannot be read",
    403: "Not allowed",
    404: "Nothing is here",
    409: "Nothing was changed",
    429: "Too many attempts",
    503: "Redis is away",
}


def done(visit: Visit, action: Action, order: Any, document: Any) -> Page:
    """The page after an action of a form: what it did.

    Args:
        visit: The POST.
        action: The action.
        order: Its order, of `action.takes`.
        document: What it returned.
    """
    told = told_of(action.name, document)
    queues: Sequence[str] = getattr(order, "queues", ())
    back, words = link(visit.root, "dead#jobs"), "See how far it is"
    if isinstance(document, Picked):
        words = "To the dead letters"
    if len(queues) == 1:
        back, words = address_of(visit.root, queues[0]), "To the queue"
    elif hasattr(order, "queues"):
        back, words = link(visit.root, ""), "To the overview"
    title, *lines = told
    if most := getattr(order, "most", None):
        lines.insert(0, f"It ends after {count(most, 'batch', 'batches')} of them.")
    shown = {
        "title": title,
        "lines": lines,
        "level": "ok",
        "back": back,
        "back_words": words,
    }
    return Page(title, render(visit, "done.html", shown), here="-")


def told_of(name: str, document: Any) -> list[str]:
    """What an action has done: a title, and a sentence each."""
    if isinstance(document, list):
        return ["Flushed", *([_flushed(each) for each in document] or ["Nothing was held."])]
    tell = _TOLD.get(type(document))
    return [f"{name}: done"] if tell is None else tell(name, document)


def _paused(_: str, document: Paused) -> list[str]:
    return _named("Paused", "An operator had paused it before", document.paused)


def _resumed(_: str, document: Resumed) -> list[str]:
    return _named("Resumed", "It was not stopped", document.resumed)


def _made_due(_: str, document: MadeDue) -> list[str]:
    if not document.made_due.batches:
        return ["All were due already: nothing was changed"]
    left = [f"{_spelled(document.left)} are as they were."] if document.left.batches else []
    return [f"Made {_spelled(document.made_due)} due before their time", *left]


def _ordered(name: str, document: Ordered) -> list[str]:
    return [f"A worker is to {name} {_spelled(document.counted)}", f"Job {document.job}."]


def _picked(name: str, document: Picked) -> list[str]:
    verb = "sent again" if name.startswith("redrive") else "dropped"
    rest = [f"The others are dead letter {document.rest}."] if document.rest else []
    return [f"{count(document.events, 'event')} {verb}", *rest]


def _stopped(_: str, document: JobDocument) -> list[str]:
    done = f"{_spelled(document.changed)} of {_spelled(document.counted)} are done so far."
    return [f"The {document.operation} is asked to stop", done]


def _named(done: str, otherwise: str, names: Sequence[str]) -> list[str]:
    if not names:
        return [f"{otherwise}: nothing was changed"]
    return [f"{done} {count(len(names), 'queue')}", f"{', '.join(names)}."]


def _spelled(amount: Amount) -> str:
    return f"{count(amount.events, 'event')} in {count(amount.batches, 'batch', 'batches')}"


def _flushed(each: FlushedQueue) -> str:
    why = f": {each.reason}" if each.reason else ""
    return (
        f"{each.queue}: {each.pending:,} on their way to VWO, {each.delivered:,} delivered, "
        f"{each.failed:,} not accepted{why}."
    )


#: How each document tells what was done, by its type.
_TOLD: Final[Mapping[type, Callable[[str, Any], list[str]]]] = {
    Paused: _paused,
    Resumed: _resumed,
    MadeDue: _made_due,
    Ordered: _ordered,
    Picked: _picked,
    JobDocument: _stopped,
}


def trouble(
    visit: Visit | None, status: int, what: str, remedy: str, last: Last | None = None
) -> Page:
    """The page where something kept the console from answering.

    Args:
        visit: The request; None if nobody may come in.
        status: HTTP status: 400, 403, 404, 405, 409, 429, 500; 503 if Redis cannot be used.
        what: What is true now, in plain text.
        remedy: What to do; "" for nothing.
        last: Where Redis cannot be used: the page as it was when it last could; None if it never did.
    """
    heading = _HEADINGS.get(status, "This did not work")
    document = {
        "title": heading,
        "level": "problem",
        "heading": heading,
        "what": what,
        "remedy": remedy,
        "status": status,
        "visit": visit,
        "last": None if last is None else Markup(last.page.html),  # noqa: S704 - a template made it
        "last_age": 0.0 if last is None else last.age_seconds,
    }
    return Page(
        heading, render(visit, "trouble.html", document), status, last.page.here if last else "-"
    )
