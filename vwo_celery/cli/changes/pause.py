"""`vwo-celery pause` and `resume`: stop and restart the sending of whole queues."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vwo_celery.cli.shared.bulk import all_option, choose
from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import say
from vwo_celery.cli.shared.session import Session, common_options, json_option, queue_option
from vwo_celery.operating import operations
from vwo_celery.text.amounts import count

_MOST_NAMES = 20


@click.command()
@queue_option
@all_option
@click.option(
    "--reason", default="", metavar="TEXT", help="Shown by status, beside who paused it and when."
)
@common_options
@json_option
@click.pass_context
def pause(context: click.Context, queues: Sequence[str], every: bool, reason: str) -> None:
    """Send nothing of a queue until it is resumed.

    Applications go on filling it, up to its capacity. Batches in flight are settled as usual. A
    queue that an operator has paused already keeps their name, reason and time; one that VWO refuses
    keeps that reason, too.
    """
    session = context.ensure_object(Session)
    chosen = choose(session, queues, every)
    names = operations.pause(session.fleet, session.actor, chosen, reason)
    _report(session, "paused", names, len(chosen))


@click.command()
@queue_option
@all_option
@common_options
@json_option
@click.pass_context
def resume(context: click.Context, queues: Sequence[str], every: bool) -> None:
    """Send again what a paused or stopped queue holds.

    Whoever paused it: an operator, or a worker because of VWO's answer. A queue that VWO refuses is
    tried again at once.
    """
    session = context.ensure_object(Session)
    chosen = choose(session, queues, every)
    names = operations.resume(session.fleet, session.actor, chosen)
    _report(session, "resumed", names, len(chosen))


def _report(session: Session, done: str, names: list[str], of: int) -> None:
    if session.json:
        print_json({done: names})
        return
    if not of:
        say(f"0 queues {done}: none is registered")
        return
    none = {
        "paused": ": all were paused before",
        "resumed": ": none was stopped; to send at once what waits for its next attempt: "
        "vwo-celery retry",
    }
    say(f"{count(len(names), 'queue')} {done}{'' if names else none[done]}")
    for name in names[:_MOST_NAMES]:
        say(f"  {name}")
    if len(names) > _MOST_NAMES:
        say(f"  and {len(names) - _MOST_NAMES} more")
