"""`vwo-celery health`: do events leave in time? A line and an exit code, for probes and monitors.

It looks at the queues, not at one process: see docs/how-to/operate.md before a
worker is restarted because of it. Probes run it every few seconds, so it imports neither Celery nor
what other commands print with.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.errors import VwoCeleryError
from vwo_celery.operating.doctor.workers import beat_finding
from vwo_celery.operating.documents.health import (
    HealthDocument,
    document_of,
    judge,
    unhealthy,
    unseen,
)

#: The first line, and what `--json` prints.
_Answer = tuple[str, HealthDocument]


@click.command("health")
@click.option("--beat", is_flag=True, help="Check that the sweeps which beat sends are run.")
@common_options
@json_option
@click.pass_context
def check(context: click.Context, beat: bool) -> None:
    """Check that events leave in time.

    Prints one line and, if unhealthy, what to do. Exits 0 if healthy and 1 if not; a Redis that
    cannot be used and a wrong setting are unhealthy, too.
    """
    session = context.ensure_object(Session)
    line, answer = _ask(session, _look_at_beat if beat else _look_at_queues)
    if session.json:
        print_json(answer)
    else:
        print_line(line)
        if answer.remedy:
            print_line(f"→ {answer.remedy}")
    context.exit(0 if answer.healthy else 1)


def _ask(session: Session, look: Callable[[Session], _Answer]) -> _Answer:
    try:
        return look(session)
    except VwoCeleryError as exc:
        return _in_words(unseen(exc, lambda: session.settings, lambda: session.fleet))


def _look_at_queues(session: Session) -> _Answer:
    fleet, parts = session.fleet, session.away
    found = judge(fleet, session.settings, parts)
    session.away = ()  # told here
    return str(found), document_of(found, parts)


def _look_at_beat(session: Session) -> _Answer:
    fleet = session.fleet
    finding = beat_finding(fleet.last_sweeps_ms(), fleet.now_ms(), session.settings)
    # Only "ok": while listeners sweep in beat's place nothing is late, yet beat is not healthy.
    if finding.state == "ok":
        return f"healthy: {finding.what}", HealthDocument(healthy=True)
    return _in_words(unhealthy(finding.what, finding.remedy))


def _in_words(answer: HealthDocument) -> _Answer:
    return f"unhealthy: {'; '.join(answer.problems)}", answer
