"""`vwo-celery spool status` and `drain`: show this host's spool, or move it to Redis now.

Both concern the host they run on, and the Redis and namespace they are given. If
`drain` dies half-way, the rest stays in the spool.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import Column, Row, console, print_rows, say
from vwo_celery.cli.shared.session import CommandGroup, Session, common_options, json_option
from vwo_celery.clocks import unix_ms
from vwo_celery.operating import operations
from vwo_celery.receipts import DrainResult
from vwo_celery.settings import Settings
from vwo_celery.spool.fallback import fallback_of
from vwo_celery.spool.spool import Spool
from vwo_celery.text.amounts import count, size, span

_NO_SPOOL = "there is no spool: spool_dir (VWO_CELERY_SPOOL_DIR) is empty"


@click.group(cls=CommandGroup)
def spool() -> None:
    """Look at and drain the events on this host's disk.

    They wait there while Redis does not take them. As soon as it does, any process of the application
    that may start threads moves them to Redis by itself.
    """


@spool.command("status")
@common_options
@json_option
@click.pass_context
def show(context: click.Context) -> None:
    """Show what this host's spool holds.

    The spool is that of the given Redis and namespace; others have spools of their own.
    """
    session = context.ensure_object(Session)
    found = _open(session.settings)
    contents = found.contents()
    if session.json:
        print_json(
            {
                "path": found.files.pattern,
                "files": found.paths(),
                "events": sum(each.events for each in contents),
                "used_bytes": found.used_bytes(),
                "max_bytes": found.max_bytes,
                "queues": contents,
            }
        )
        return
    say(f"{found.files.pattern}, {size(found.used_bytes())} of {size(found.max_bytes)} used")
    refused = found.refused()
    for why in refused:
        say(why, "yellow")
    if not contents:
        say("the other files hold nothing" if refused else "it holds nothing")
        return
    now = unix_ms()
    columns = (
        Column("queue"), Column("events", number=True), Column("size", number=True),
        Column("oldest", number=True),
    )  # fmt: skip
    print_rows(
        columns,
        [
            Row([c.queue, f"{c.events:,}", size(c.bytes), span(max(0, now - c.oldest_ms) / 1000)])
            for c in contents
        ],
    )


@spool.command("drain")
@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(min=0), default=60.0, show_default=True,
    help="Longest wait.",
)  # fmt: skip
@common_options
@json_option
@click.pass_context
def drain(context: click.Context, timeout: float) -> None:
    """Move what this host's spool holds to Redis, now.

    Safe beside applications that drain it themselves. Exits 1 if something is left, or if a file
    cannot be trusted and so may hold more.
    """
    session = context.ensure_object(Session)
    found = _open(session.settings)
    result = _drain(session, timeout)
    refused = found.refused()
    if session.json:
        print_json(result)
    else:
        say(f"{count(result.drained, 'event')} went to Redis, {result.left:,} left")
        if result.reason:
            say(result.reason, "yellow")
        for why in refused:
            say(why, "yellow")
    if refused or not result:
        context.exit(1)


def _open(settings: Settings) -> Spool:
    found = fallback_of(settings).spool
    if found is None:
        raise click.ClickException(_NO_SPOOL)
    return found


def _drain(session: Session, timeout: float) -> DrainResult:
    fallback = fallback_of(session.settings)

    def run(watch: Callable[[int], None]) -> DrainResult:
        return operations.drain_spool(session.fleet, session.actor, fallback, timeout, watch)

    if session.json:
        return run(lambda _: None)
    total = fallback.count()
    with console(stderr=True).status("draining") as line:
        return run(lambda moved: line.update(f"{moved:,} of {max(moved, total):,} events"))
