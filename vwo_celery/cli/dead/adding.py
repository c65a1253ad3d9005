"""`vwo-celery dead add`: batches taken out of delivery, for those that fail again and again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vwo_celery.cli.dead.choosing import Choice, Words, filter_option, scan_option
from vwo_celery.cli.dead.group import dead
from vwo_celery.cli.shared.bulk import batch_option, dry_run_option, report
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.session import Session, common_options, json_option, queue_option
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.operations import Amount


@dead.command("add")
@filter_option
@queue_option
@batch_option
@click.option(
    "--reason", default="", metavar="TEXT", help="Shown by dead list, beside who added it."
)
@scan_option
@dry_run_option
@common_options
@json_option
@click.pass_context
def add(
    context: click.Context,
    wanted: Filter,
    queues: Sequence[str],
    batches: Sequence[str],
    reason: str,
    scan_limit: int,
    dry_run: bool,
) -> None:
    """Take batches out of delivery, and keep them as dead letters.

    For batches that fail again and again, by --batch, --filter or both. They must be ready or
    released, not in flight. Exits 1 if one that was named is not, or some could not be looked at; the
    others are taken.
    """
    if not wanted and not batches:
        raise click.UsageError("say which batches: --batch ID, --filter FILTER, or both")
    if wanted.asks_for_deaths:
        raise click.BadParameter(
            "died: picks dead letters only; the batches to add are not dead", param_hint="--filter"
        )
    session = context.ensure_object(Session)
    choice = Choice(session, Words(wanted, queues, batches, "", scan_limit))
    waiting = [each for each in choice.waiting() if each.state != "in_flight"]
    added = waiting
    if not dry_run:
        added = operations.add_dead(
            session.fleet, session.actor, waiting, reason, filter=str(choice.filter)
        )
    done = Amount(len(added), sum(each.events for each in added))
    report(session, "would_be_added" if dry_run else "added", done)
    missing = sorted({*choice.filter.batches} - {each.batch for each in added})
    if missing:
        print_line(
            f"not ready or released, and left as it is: {', '.join(missing)}; it may be in flight, "
            "dead or delivered; see: vwo-celery status",
            err=True, fg="red",
        )  # fmt: skip
    choice.say_rest(context)
    if missing:
        context.exit(1)
