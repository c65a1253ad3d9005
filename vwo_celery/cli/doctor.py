"""`vwo-celery doctor`: print each finding as soon as it is made.

It changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click
from rich.table import Table
from rich.text import Text

from vwo_celery.cli.documents import print_json
from vwo_celery.cli.output import STYLES, console
from vwo_celery.cli.session import Session, common_options, json_option
from vwo_celery.errors import SettingsError
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor import BrokerFacts, Finding
from vwo_celery.operating.doctor.finding import problem
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count
from vwo_celery.text.lines import one_line

_STATE_WIDTH, _ID_WIDTH, _CHECK_WIDTH = 7, 5, 12


@click.command("doctor")
@click.option(
    "-A", "--app", metavar="APP", default="",
    help="Your Celery app, as `celery -A` takes it; needed only where it connects to the broker in "
    "a way of its own.",
)  # fmt: skip
@common_options
@json_option
@click.pass_context
def examine(context: click.Context, app: str) -> None:
    """Find what keeps events from leaving, and say what to do.

    Exits 1 if there is a problem. Warnings are worth a look, and do not stop deliveries.
    """
    session = context.ensure_object(Session)
    if session.json:
        found = list(_findings(session, app))
        print_json(found)
    else:
        found = list(_print_each(_findings(session, app)))
        _print_sum(found)
    if any(finding.state == "problem" for finding in found):
        context.exit(1)


def _findings(session: Session, app: str) -> Iterator[Finding]:
    try:
        settings = session.settings
    except SettingsError as exc:
        yield problem("VC101", str(exc), "correct it; nothing else can be checked before")
        return
    yield from doctor.examine(settings, lambda: session.fleet, lambda given: _look(given, app))
    session.away = ()  # told in the findings


def _look(settings: Settings, app: str) -> BrokerFacts:
    from vwo_celery.celery.broker import look_at_broker  # Celery takes half a second to import

    return look_at_broker(settings, app)


def _print_each(findings: Iterable[Finding]) -> Iterator[Finding]:
    out = console()
    for finding in findings:
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_column(width=_STATE_WIDTH)
        line.add_column(width=_ID_WIDTH)
        line.add_column(width=_CHECK_WIDTH)
        line.add_column(overflow="fold")
        what = Text(one_line(finding.what))
        if finding.remedy:
            what.append(f"\n→ {one_line(finding.remedy)}", "cyan")
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
