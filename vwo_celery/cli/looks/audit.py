"""`vwo-celery audit`: who changed what, through which door, and what came of it.

It changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import click

from vwo_celery.cli.shared.documents import print_json, print_json_line
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.output import Column, Row, moment, print_rows, say
from vwo_celery.cli.shared.session import Session, common_options, json_option, queue_option
from vwo_celery.operating.past.audit import Change, changes, follow
from vwo_celery.text.amounts import read_span, span

_STYLES = {"failed": "bold red", "interrupted": "yellow", "unfinished": "yellow"}


def _read_span(context: click.Context, parameter: click.Parameter, text: str) -> int:
    """Read a span of time, in seconds; one that cannot be read is wrong usage."""
    seconds = read_span(text)
    if seconds is None:
        raise click.BadParameter(
            f"{text!r} is no span of time, such as 90s, 15m, 2h or 7d", ctx=context, param=parameter
        )
    return seconds


@click.command()
@click.option(
    "--since", "seconds", callback=_read_span, default="1d", show_default=True, metavar="SPAN",
    help="How far to look back, such as 90s, 15m, 2h or 7d.",
)  # fmt: skip
@queue_option
@click.option("--follow", "following", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@common_options
@json_option
@click.pass_context
def audit(context: click.Context, seconds: int, queues: Sequence[str], following: bool) -> None:
    """Show who paused, flushed, redrove, purged or moved what, and what came of it.

    "unfinished" goes on still, or its process was killed: what it has done stays done, and the same
    command does the rest. At least the newest 5,000 changes are kept.
    """
    session = context.ensure_object(Session)
    fleet = session.fleet
    since_ms = max(0, fleet.now_ms() - 1000 * seconds)
    if following:
        found_later = follow(fleet, time.sleep, since_ms=since_ms, queues=queues, tell=_tell)
        _follow(session, found_later)
        return
    found = changes(fleet, since_ms=since_ms, queues=queues)
    if session.json:
        print_json(found)
    elif found:
        print_rows(_COLUMNS, [_row(each) for each in found])
    else:
        say("nobody has changed anything in that time")


def _tell(text: str) -> None:
    """Say it beside the changes, which programs may read."""
    print_line(text, err=True, fg="yellow")


def _follow(session: Session, found: Iterable[Change]) -> None:
    try:
        for each in found:
            if session.json:
                print_json_line(each)
            else:
                say(_line(each), _STYLES.get(each.result, ""))
    except KeyboardInterrupt:
        return


_COLUMNS = (
    Column("when"), Column("who"), Column("by"), Column("command"), Column("done", number=True),
    Column("result"), Column("what", wrap=True),
)  # fmt: skip


def _row(each: Change) -> Row:
    took = "" if each.duration_seconds is None else f" in {span(each.duration_seconds)}"
    cells = [
        moment(each.at_ms), f"{each.who} on {each.host}", each.door, each.command, each.amount,
        f"{each.result}{took}", _what(each),
    ]  # fmt: skip
    error = [(each.error, _STYLES[each.result])] if each.error else []
    return Row(cells, [*error, (each.note, "")] if each.note else error)


def _line(each: Change) -> str:
    """One change on one line, as it begins and as it ends."""
    begins = each.result == "unfinished"
    told = "begins" if begins else f"{each.result}, {each.amount}"
    error = f": {each.error}" if each.error else ""
    who = f"{each.who} on {each.host} by {each.door}"
    return f"{moment(each.at_ms)} {who}: {each.command} ({_what(each)}) {told}{error}"


def _what(each: Change) -> str:
    """The filter as it was typed, the queues and the reason."""
    more = f" and {each.more_queues} more" if each.more_queues else ""
    queues = ", ".join(each.queues) + more
    return "; ".join(part for part in (each.filter, queues, each.reason) if part) or "-"
