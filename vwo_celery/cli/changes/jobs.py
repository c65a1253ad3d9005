"""`vwo-celery jobs`: bulk work that workers do, shown and stopped. If it dies, the jobs go on."""

from __future__ import annotations

import click

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import Column, Row, print_rows, say
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.operating import operations
from vwo_celery.operating.documents.jobs import job_document
from vwo_celery.operating.operations import jobs as orders
from vwo_celery.operating.operations.jobs import Job
from vwo_celery.text.amounts import span


@click.command()
@click.option("--stop", metavar="ID", help="Stop this job after the batch that it is at.")
@common_options
@json_option
@click.pass_context
def jobs(context: click.Context, stop: str | None) -> None:
    """Show the bulk work that workers do, or did in the last hour.

    It is ordered with `dead redrive --background` and `dead purge --background`.
    """
    session = context.ensure_object(Session)
    if stop is not None:
        operations.stop_job(session.fleet, session.actor, stop)
    found = orders.list_jobs(session.fleet)
    if session.json:
        print_json([job_document(each) for each in found])
        return
    if not found:
        say("no job in the last hour")
        return
    now_ms = session.fleet.now_ms()
    print_rows(_COLUMNS, [_row(each, now_ms) for each in found])


_COLUMNS = (
    Column("job"), Column("does"), Column("state"), Column("batches", number=True),
    Column("events", number=True), Column("heard"), Column("by"), Column("filter", wrap=True),
)  # fmt: skip


def _row(job: Job, now_ms: int) -> Row:
    order, silent_seconds = job.order, max(0, now_ms - job.heard_ms) / 1000
    cells = [
        job.job, f"dead {order.operation}", job.state, f"{job.batches:,} of {order.batches:,}",
        f"{job.events:,} of {order.events:,}", f"{span(silent_seconds)} ago",
        f"{order.who} on {order.host}", order.filter or "-",
    ]  # fmt: skip
    notes = [(job.error, "yellow")] if job.error else []
    if job.stop_asked and job.state in ("waiting", "running", "silent"):
        notes.append(("asked to stop", "yellow"))
    if job.state == "waiting" and silent_seconds > orders.SILENT_SECONDS:
        notes.append(("no worker has begun it; see: vwo-celery doctor", "yellow"))
    if job.state == "silent":
        notes.append(
            ("its worker is gone, or stands still; the same order again does the rest", "yellow")
        )
    return Row(cells, notes)
