"""Single events of a dead letter, redriven or purged by the command that does so with whole batches."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vwo_celery.cli.dead.choosing import Choice
from vwo_celery.cli.shared.asking import agree
from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import say
from vwo_celery.cli.shared.session import Session
from vwo_celery.operating import operations
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.operating.operations import Amount
from vwo_celery.text.amounts import count


def pick(
    session: Session,
    choice: Choice,
    places: Sequence[int],
    *,
    drop: bool,
    dry_run: bool,
    yes: bool = False,
) -> None:
    """Send the events at these places again, or drop them; the rest stays dead."""
    if len(choice.filter.batches) != 1:
        raise click.UsageError("--event names events of one batch: say which, by one --batch ID")
    each = choice.check_batches()[0]
    beyond = sorted(place for place in places if place > each.events)
    if beyond:
        raise click.ClickException(
            f"batch {each.batch} has {count(each.events, 'event')}, and none at place {beyond[0]}; "
            f"nothing was changed; see: vwo-celery dead show {each.batch}"
        )
    number, what = len({*places}), "purged" if drop else "redriven"
    if dry_run:
        _report(session, f"would_be_{what}", number, each)
        return
    if drop and not yes:
        named = f"{count(number, 'event')} of batch {each.batch}"
        agree(f"Drop {named} for good?")
    done = operations.pick_out(session.fleet, session.actor, each, places, drop=drop)
    if done.missing:
        raise click.ClickException(
            f"{count(done.missing, 'event')} of batch {each.batch} are gone from Redis, so that places "
            "may not be those that were shown; nothing was changed"
        )
    if not done.events:
        raise click.ClickException(
            f"batch {each.batch} is not dead any more, and is left as it is; see: vwo-celery dead list"
        )
    all_of_it = done.events == each.events
    _report(session, what, done.events, each, rest="" if all_of_it else done.rest)


def _report(
    session: Session, what: str, events: int, each: DeadBatch, *, rest: str | None = None
) -> None:
    if session.json:
        more = {} if rest is None else {"rest": rest or None}
        print_json({what: Amount(1, events), **more})
        return
    say(f"{count(events, 'event')} of batch {each.batch} {what.replace('_', ' ')}")
    if rest:
        left = count(each.events - events, "event")
        say(f"the other {left} are batch {rest} now, and dead as before", "dim")
