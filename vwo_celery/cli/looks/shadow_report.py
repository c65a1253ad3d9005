"""`vwo-celery shadow-report`: did our hook see exactly the events that the SDKs sent?"""

from __future__ import annotations

from typing import NoReturn

import click
import msgspec

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import Column, Row, moment, print_rows, say
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.operating import operations
from vwo_celery.operating.looks.shadows import ShadowReport, ShadowRow, look_at_shadow
from vwo_celery.text.amounts import count
from vwo_celery.text.wording import page

_COLUMNS = (
    Column("event"), Column("campaign"), Column("SDK sent", number=True),
    Column("SDK lost", number=True), Column("under way", number=True), Column("our hook", number=True),
    Column("difference", number=True), Column("contents"),
)  # fmt: skip
_MOST_HOSTS = 3


@click.command(name="shadow-report")
@click.option("--reset", is_flag=True, help="Forget what was counted, and begin anew.")
@common_options
@json_option
@click.pass_context
def shadow_report(context: click.Context, reset: bool) -> None:
    """Compare what shadowed SDKs sent with what attach would enqueue.

    Counts of all processes in which vwo_celery.shadow(client) was called, by event and campaign. Both
    saw the same if for each of them, with the same contents:
    our hook = SDK sent + SDK lost + under way.
    Processes tell every two seconds, and what they have told is kept for seven days. Exits 1 if
    anything differs, or if nothing was counted.
    """
    session = context.ensure_object(Session)
    if reset:
        _reset(session)
        return
    report = look_at_shadow(session.fleet)
    if report is None:
        _refuse(session)
    if not report.rows:
        raise click.ClickException(
            f"no event was counted yet; {_processes(report)}. Look again after the next event"
        )
    if session.json:
        print_json(msgspec.to_builtins(report))
    else:
        _print(report)
    if report.verdict == "differs":
        context.exit(1)


def _reset(session: Session) -> None:
    forgotten = operations.reset_shadow(session.fleet, session.actor)
    if session.json:
        print_json({"reset": forgotten})
    elif forgotten:
        say("the counts are forgotten; processes that count go on from zero within seconds")
    else:
        say("nothing was counted")


def _refuse(session: Session) -> NoReturn:
    raise click.ClickException(
        f"nothing was counted in namespace {session.settings.namespace} of this Redis. Call "
        "vwo_celery.shadow(client) where the application makes its client, with the Redis and the "
        "namespace that this command uses; two seconds after its first event a process has told. "
        "Counts are kept for seven days after the last"
    )


def _print(report: ShadowReport) -> None:
    for queue in dict.fromkeys(row.queue for row in report.rows):
        say(queue or "of any queue", "bold")
        print_rows(_COLUMNS, [_cells(row) for row in report.rows if row.queue == queue])
        say()
    say(_processes(report))
    for line in _under_way(report):
        say(line)
    style = "bold red" if report.verdict == "differs" else "bold green"
    say(_verdict(report), style)


def _cells(row: ShadowRow) -> Row:
    contents = "the same" if row.same_contents else "OTHERS"
    numbers = (row.sent, row.lost, row.held, row.hook, row.difference)
    return Row(
        [
            row.event,
            row.campaign or "-",
            *(f"{number:,}" for number in numbers),
            contents if not row.difference else "-",
        ],
        _notes(row),
    )


def _notes(row: ShadowRow) -> list[tuple[str, str]]:
    notes = []
    if row.difference > 0:
        missed = count(row.difference, "event")
        notes.append((f"our hook saw {missed} that the SDK did not send", "bold red"))
    elif row.difference < 0:
        missed = count(-row.difference, "event")
        notes.append((f"the SDK sent {missed} that our hook did not see", "bold red"))
    elif not row.same_contents:
        notes.append(("as many events, but with other contents", "bold red"))
    if row.lost:
        lost = count(row.lost, "event")
        notes.append((f"{lost} lost by the SDK, since their request failed", "yellow"))
    if row.inherited:
        again = count(row.inherited, "event")
        notes.append(
            (f"{again} sent again by the SDK in forked processes; attach does not", "yellow")
        )
    if row.unsendable:
        bad = count(row.unsendable, "event")
        notes.append(
            (f"{bad} that no batch can carry (NaN or the like); attach drops these", "yellow")
        )
    if row.aside:
        aside = count(row.aside, "report")
        notes.append((f"{aside} of the SDK's about itself, which it goes on sending itself", "dim"))
    return notes


def _processes(report: ShadowReport) -> str:
    hosts = ", ".join(report.hosts[:_MOST_HOSTS])
    if len(report.hosts) > _MOST_HOSTS:
        hosts += f" and {len(report.hosts) - _MOST_HOSTS} more"
    parts = [
        f"{count(report.running, 'process runs', 'processes run')}"
        + (f" on {hosts}" if hosts else "")
    ]
    parts += [f"{report.ended:,} ended"] if report.ended else []
    parts += [f"{report.silent:,} silent (killed, or cut off from Redis)"] if report.silent else []
    parts += [f"{report.unlisted:,} not listed"] if report.unlisted else []
    return f"counted since {moment(report.since_ms)}: {', '.join(parts)}"


def _under_way(report: ShadowReport) -> list[str]:
    lines = []
    if report.held_running:
        held = count(report.held_running, "event")
        lines.append(f"{held} in the memory of SDKs, to be sent with their next batch")
    if report.held_gone:
        held = count(report.held_gone, "event")
        lines.append(f"{held} in the memory of SDKs whose process is gone, and with it the events")
    return lines


def _verdict(report: ShadowReport) -> str:
    events = sum(row.hook for row in report.rows)
    if report.verdict == "same":
        return f"the same: our hook saw exactly the events that the SDKs sent, {count(events, 'event')}"
    if report.verdict == "same so far":
        return (
            f"the same so far: of {count(events, 'event')} that our hook saw, each was sent by the "
            "SDK, or is under way"
        )
    differing = count(sum(not row.agrees for row in report.rows), "row differs", "rows differ")
    again = "; look again in ten seconds, since only a difference that stays is one" * bool(
        report.running
    )
    return f"{differing}: do not attach yet{again}. See {page('docs/how-to/migrate.md')}"
