"""`vwo-celery workers`: who works, since when, with what, and in what the workers differ."""

from __future__ import annotations

import click

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.output import Column, Row, print_rows, say
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.operating.doctor.workers import start_worker
from vwo_celery.operating.documents.workers import workers_document
from vwo_celery.operating.looks.workers import NO_CARD, WorkerView, differences
from vwo_celery.text.amounts import size, span


@click.command()
@common_options
@json_option
@click.pass_context
def workers(context: click.Context) -> None:
    """List the workers that listen: release, pool, how many lanes are busy, since when.

    Below them it says in what they differ. A worker that was killed is shown for 15 seconds: see when
    it was last heard. Exits 1 if a key of a wrong type hides them.
    """
    session = context.ensure_object(Session)
    document = workers_document(session.fleet)
    if session.json:
        print_json(document)
    elif document.workers is not None:
        _print(document.workers)
    for line in document.unreadable:
        print_line(f"which workers listen is not known: {line}", err=session.json, fg="red")
    if document.unreadable:
        context.exit(1)


def _print(found: list[WorkerView]) -> None:
    if not found:
        say(f"no worker listens; {start_worker()}")
        return
    print_rows(_COLUMNS, [_row(each) for each in found])
    for difference in differences(found):
        say()
        say(f"workers differ in {difference.what}:", "yellow")
        for value, names in difference.values.items():
            say(f"  {value}: {', '.join(names)}")


_COLUMNS = (
    Column("worker"), Column("release"), Column("pool"), Column("busy", number=True),
    Column("up", number=True), Column("last heard", number=True), Column("memory", number=True),
    Column("consumes"),
)  # fmt: skip


def _row(view: WorkerView) -> Row:
    card, heard = view.card, f"{span(view.heard_age_seconds)} ago"
    if card is None:
        return Row([view.worker, f"no card (release {NO_CARD})", "-", "-", "-", heard, "-", "-"])
    return Row(
        [
            view.worker,
            card.version,
            card.pool or "-",
            f"{card.busy} of {card.concurrency}",
            "-" if view.up_seconds is None else span(view.up_seconds),
            heard,
            size(card.rss_bytes) if card.rss_bytes else "-",
            ", ".join(card.celery_queues) or "-",
        ]
    )
