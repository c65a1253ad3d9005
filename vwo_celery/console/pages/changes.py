"""After an action: the page of one change, read back from the audit, or from its job.

The form's own answer only leads here, so that whoever loads the page again repeats nothing, and whichever
process answers knows it. Reads only: nothing to lose.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from vwo_celery.console.actions import Action
from vwo_celery.console.pages.rendering import address_of, link, render
from vwo_celery.console.pages.verdicts import Level
from vwo_celery.console.shared.exchange import Page, Response, redirect
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.visits import Visit
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.documents.jobs import JobDocument, job_document
from vwo_celery.operating.operations.jobs import find_job
from vwo_celery.operating.past.audit import Change, find_change
from vwo_celery.text.amounts import count

#: Longer than any request takes, in ms: a change that one makes stands in the audit behind that.
_REQUEST_MS: Final = 600_000
_NO_ENTRY: Final = "The audit has no entry of it: Redis took none, as when it is full."
_NO_END: Final = "The audit has no entry of its end: Redis took none, as when it is full."
_UNKNOWN: Final = "no change of this id is known"


class Told(msgspec.Struct, frozen=True):
    """What came of a change, for whoever ordered it.

    Attributes:
        title: What was done, in a few words.
        lines: What else is to be told, one sentence each.
        level: How bad it is.
    """

    title: str
    lines: tuple[str, ...] = ()
    level: Level = "ok"


# -- the way to the page


def done(visit: Visit, action: Action, document: Any) -> Page | Response:
    """The answer to a form: the way to the page of what it did.

    Args:
        visit: The POST.
        action: The action.
        document: What it returned.
    """
    name = getattr(document, "job", visit.change)
    try:
        since_ms = max(0, visit.fleet.now_ms() - _REQUEST_MS)
        if name == visit.change:
            found = find_change(visit.fleet, name, since_ms=since_ms)
            if found is None or found.result == "unfinished":
                return _unrecorded(visit, action, _NO_ENTRY if found is None else _NO_END)
    except QueueUnavailable as exc:
        return _unrecorded(visit, action, f"What came of it cannot be read back: {exc}.")
    return redirect(link(visit.root, f"changes/{name}", at=since_ms))


def _unrecorded(visit: Visit, action: Action, why: str) -> Page:
    """The page of a change of whose end the audit tells nothing; it is made all the same."""
    told = Told(f"{action.name}: done", (why,), "warn")
    return _page(visit, told, back=link(visit.root, ""), words="To the overview")


# -- the page


def change(visit: Visit) -> Page:
    """The page of one change: what came of it, who made it, and how far its job is."""
    name = visit.pieces["change"]
    known = find_job(visit.fleet, name)  # before the audit, in which a job ends before it says so
    job = None if known is None else visit.discreet(job_document(known))
    found = find_change(visit.fleet, name, since_ms=_since_ms(visit))
    if job is None and found is None:
        raise Refusal(404, _UNKNOWN, "the audit lists all changes that are kept")
    found = None if found is None else visit.discreet(found)
    told = _told_of_job(job) if job else told_of(found) if found else Told(_UNKNOWN)
    if job and found and found.result == "unfinished" and job.state in _ENDED:
        told = msgspec.structs.replace(told, lines=(*told.lines, _NO_END))
        found = msgspec.structs.replace(found, result=f"{job.state}, as its job tells")
    back, words = _back(visit, found)
    return _page(visit, told, job=job, found=found, back=back, words=words)


def _since_ms(visit: Visit) -> int:
    """The moment that the address has, from which on to look; 0 for none."""
    given = visit.field("at")
    return int(given) if given.isdecimal() and given.isascii() and len(given) < 16 else 0


def _page(
    visit: Visit,
    told: Told,
    *,
    back: str,
    words: str,
    job: JobDocument | None = None,
    found: Change | None = None,
) -> Page:
    document = {
        "title": told.title, "told": told, "level": told.level, "job": job, "found": found,
        "back": back, "back_words": words,
    }  # fmt: skip
    return Page(told.title, render(visit, "change.html", document), here="-")


def _back(visit: Visit, found: Change | None) -> tuple[str, str]:
    if found is None or found.command.startswith(("dead", "jobs")):
        return link(visit.root, "dead"), "To the dead letters"
    if len(found.queues) == 1 and not found.more_queues:
        return address_of(visit.root, found.queues[0]), "To the queue"
    return link(visit.root, ""), "To the overview"


# -- what it says


def told_of(found: Change) -> Told:
    """What came of a change, by its command."""
    notes = tuple(_as_sentence(each) for each in found.note.split("; ") if each)
    if found.result == "unfinished":
        return Told(f"{found.command}: it goes on still, or its process was killed", notes, "warn")
    if found.result == "failed":
        return Told(f"{found.command} failed", (found.error, *notes), "problem")
    level: Level = "warn" if found.result == "interrupted" else "ok"
    return Told(_title(found), (*_names(found), *notes), level)


def _as_sentence(note: str) -> str:
    """A note with a capital letter and a full stop; a name at its beginning stays as it is."""
    is_word = note.split(maxsplit=1)[0].rstrip(",").isalpha()
    return f"{note[:1].upper() if is_word else note[:1]}{note[1:]}."


def _names(found: Change) -> tuple[str, ...]:
    """The queues that it changed, unless the note has them."""
    if found.unit != "queues" or found.done != found.matched or found.more_queues:
        return ()
    return (f"{', '.join(found.queues)}.",) if found.queues else ()


def _title(found: Change) -> str:
    number, tried = found.done or 0, found.matched
    if found.unit == "queues":
        done, nothing = _OF_QUEUES.get(found.command, (f"{found.command}:", "Nothing was changed"))
        return f"{done} {count(number, 'queue')}" if number else nothing
    done, nothing = next(
        (words for start, words in _OF_EVENTS.items() if found.command.startswith(start)),
        (f"{found.command}: {{}}", f"{found.command}: nothing was changed"),
    )
    of = f" of {tried:,}" if tried and tried != number else ""
    return done.format(count(number, "event") + of) if number else nothing


#: What changes of queues are told by, and where none was changed.
_OF_QUEUES: Final = {
    "pause": ("Paused", "An operator had paused it before: nothing was changed"),
    "resume": ("Resumed", "It was not stopped: nothing was changed"),
    "queues forget": ("Forgot", "Nothing was forgotten"),
}
#: What changes of events are told by, and where none was changed; a command that has a longer one in
#: it comes after that.
_OF_EVENTS: Final = {
    "flush": ("Flushed {}", "Nothing was held: nothing was flushed"),
    "retry": (
        "Made {} due before their time", "All were due already: nothing was changed",
    ),
    "dead redrive": ("{} sent again", "Nothing was sent again"),
    "dead purge": ("{} dropped for good", "Nothing was dropped"),
    "dead export": ("Dead letters were exported: {} removed", "Dead letters were exported"),
}  # fmt: skip


def _told_of_job(job: JobDocument) -> Told:
    """What a job is at, or came to."""
    of = f"{count(job.counted.events, 'event')} in {count(job.counted.batches, 'batch', 'batches')}"
    title, level = _JOBS.get(job.state, ("{operation} of {of}: {state}", "warn"))
    return Told(title.format(operation=job.operation, of=of, state=job.state), (), level)


#: States of a job that has ended.
_ENDED: Final = ("ok", "interrupted", "failed")
#: What a job is told by, by its state.
_JOBS: Final[dict[str, tuple[str, Level]]] = {
    "waiting": ("A worker is to {operation} {of}", "ok"),
    "running": ("A worker is at it: {operation} {of}", "ok"),
    "ok": ("Done: {operation} {of}", "ok"),
    "interrupted": ("Stopped before its end: {operation} {of}", "warn"),
    "failed": ("It failed: {operation} {of}", "problem"),
    "silent": ("Its worker seems to be gone: {operation} {of}", "problem"),
}
