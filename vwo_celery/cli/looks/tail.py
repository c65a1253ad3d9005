"""`vwo-celery tail`: outcomes of batches as they happen, until Ctrl-C.

It hears what workers publish, and changes nothing but the note that somebody listens. What happens while
Redis is away is not heard, and is told in numbers afterwards. If it dies, nothing is lost.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from vwo_celery.cli.shared.documents import print_json_line
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.session import Session, common_options, json_option, queue_option
from vwo_celery.clocks import unix_ms
from vwo_celery.operating.looks.following import Following, Heard, Lost, Missed, Told
from vwo_celery.sending.outcomes import answer_of
from vwo_celery.text.amounts import count, span

_COLORS = {"delivered": "green", "dead_lettered": "red", "paused": "red"}


@click.command()
@queue_option
@common_options
@json_option
@click.pass_context
def tail(context: click.Context, queues: Sequence[str]) -> None:
    """Print what becomes of batches, as it happens, until Ctrl-C.

    All queues, unless --queue is given. With --json, each line is a JSON document. While it runs,
    workers publish each batch that they settle.
    """
    session = context.ensure_object(Session)
    following = Following(session.fleet, queues, session.choose)
    print_line(
        f"listening to {count(len(following.names), 'queue')}{following.left_out}; batches claimed "
        "before now are not shown; Ctrl-C ends",
        err=True, dim=True,
    )  # fmt: skip
    batches = events = 0
    try:
        for told in following.follow(time.sleep):
            if isinstance(told, Heard):
                batches, events = batches + 1, events + told.events
            if told is not None:
                _print(session, told)
    except KeyboardInterrupt:
        print_line(
            f"heard of {count(events, 'event')} in {count(batches, 'batch', 'batches')}",
            err=True, dim=True,
        )  # fmt: skip


def _print(session: Session, told: Told) -> None:
    now_ms = unix_ms()
    if session.json:
        print_json_line({"at_ms": now_ms, **_document(told)})
        return
    clock = time.strftime("%H:%M:%S", time.localtime(now_ms / 1000))
    style: dict[str, Any] = {"fg": "yellow"}
    if isinstance(told, Heard):
        style = {"fg": _COLORS.get(_outcome(told), "yellow")}
    print_line(f"{clock}  {_words(told)}", **style)


def _outcome(heard: Heard) -> str:
    """What became of it; a worker of an earlier release tells only whether it failed."""
    return heard.settled.outcome or ("delivered" if heard.error is None else "failed")


def _answer(heard: Heard) -> str:
    return heard.settled.answer or answer_of(heard.error or "")


def _words(told: Told) -> str:
    if isinstance(told, Lost):
        return f"nothing is heard from now on: {told.why}"
    if isinstance(told, Missed):
        return f"heard again; missed {span(told.seconds)}{_amount(told)}"
    settled = told.settled
    attempt = f"  attempt {settled.attempt}" if settled.attempt else ""
    batch = f"  batch {settled.batch}" if settled.batch else ""
    answer = f"  {_answer(told)}" if _answer(told) else ""
    error = f"  {told.error}" if told.error is not None else ""
    outcome = _outcome(told).replace("_", " ")
    return f"{told.queue}  {count(told.events, 'event')}  {outcome}{answer}{attempt}{batch}{error}"


def _amount(missed: Missed) -> str:
    if missed.delivered is None or missed.dead is None:
        return ", in which Redis lost its counters: how much happened is not known"
    delivered = count(missed.delivered, "event")
    return f", in which about {delivered} were delivered and {missed.dead:,} became dead letters"


def _document(told: Told) -> dict[str, Any]:
    if isinstance(told, Lost):
        return {"lost": told.why}
    if isinstance(told, Missed):
        return {"missed": told._asdict()}
    return {
        "queue": told.queue,
        "batch": told.settled.batch or None,
        "events": told.events,
        "outcome": _outcome(told),
        "answer": _answer(told) or None,
        "attempt": told.settled.attempt or None,
        "error": told.error,
    }
