"""`vwo-celery doctor`: print each finding as soon as it is made.

It changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.lines import print_line, to_show
from vwo_celery.cli.shared.output import STYLES, console, say
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.errors import SettingsError
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor import BrokerFacts, Finding
from vwo_celery.operating.doctor.finding import problem
from vwo_celery.operating.doctor.kinds import RUNBOOK
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count, span
from vwo_celery.text.wording import page

_STATE_WIDTH, _ID_WIDTH, _CHECK_WIDTH = 7, 5, 12


@click.command("doctor")
@click.option(
    "-A", "--app", metavar="APP", default="",
    help="Your Celery app, as `celery -A` takes it; needed only where it connects to the broker in "
    "a way of its own.",
)  # fmt: skip
@click.option("--strict", is_flag=True, help="Exit 1 for a warning, too.")
@common_options
@json_option
@click.pass_context
def examine(context: click.Context, app: str, *, strict: bool) -> None:
    """Find what keeps events from leaving, and say what to do.

    Each trouble has an id for good, such as VC401, and a section in docs/how-to/runbook.md of
    vwo-celery's source. Exits 1 if there is a problem. Warnings are worth a look, and do not stop
    deliveries.
    """
    session = context.ensure_object(Session)
    if session.json:
        found = list(_findings(session, app))
        print_json(found)
    else:
        found = list(_print_each(_findings(session, app)))
        _print_sum(found)
    bad = ("problem", "warn") if strict else ("problem",)
    if any(finding.state in bad for finding in found):
        context.exit(1)


def _findings(session: Session, app: str) -> Iterator[Finding]:
    try:
        settings = session.settings
    except SettingsError as exc:
        yield problem("VC101", str(exc), "correct it; nothing else can be checked before")
        return
    yield from doctor.examine(
        settings,
        lambda: session.fleet,
        lambda given: look_at(given, app or session.celery_app),
        _say_what_takes_long,
    )
    session.away = ()  # told in the findings


def _say_what_takes_long(what: str, seconds: float) -> None:
    """Say on stderr what is waited for, so that a slow check is not taken for a hanging command."""
    print_line(f"still looking at {what}, for {span(seconds)} now", err=True, dim=True)


def look_at(settings: Settings, app: Any) -> BrokerFacts:
    """The facts about Celery's broker, as *app* connects to it; see `celery.broker.facts`."""
    from vwo_celery.celery.broker.facts import (
        look_at_broker,  # Celery takes half a second to import
    )

    return look_at_broker(settings, app or "")


def _print_each(findings: Iterable[Finding]) -> Iterator[Finding]:
    out = console()
    for finding in findings:
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_column(width=_STATE_WIDTH)
        line.add_column(width=_ID_WIDTH)
        line.add_column(width=_CHECK_WIDTH)
        line.add_column(overflow="fold")
        what = Text(to_show(finding.what))
        if finding.remedy:
            what.append(f"\n→ {to_show(finding.remedy)}", "cyan")
        state, check = Text(finding.state, STYLES[finding.state]), Text(finding.check, "bold")
        line.add_row(state, finding.id, check, what)
        out.print(line)
        yield finding


def _print_sum(found: list[Finding]) -> None:
    problems = sum(finding.state == "problem" for finding in found)
    warnings = sum(finding.state == "warn" for finding in found)
    style = STYLES["problem" if problems else "warn" if warnings else "ok"]
    sums = f"{count(problems, 'problem')}, {count(warnings, 'warning')}"
    console().print(Text(f"\n{sums} in {count(len(found), 'check')}", style))
    if problems or warnings:
        say(f"Each id has a section in {page(RUNBOOK)}", "dim")
