"""`vwo-celery health`: do events leave in time? A line and an exit code, for probes and monitors.

It looks at the queues, not at one process: see docs/how-to/operate.md before a
worker is restarted because of it. Probes run it every few seconds, so it imports neither Celery nor
what other commands print with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import click
from msgspec import structs

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.errors import QueueUnavailable, VwoCeleryError
from vwo_celery.operating.doctor.connection import reason_of
from vwo_celery.operating.doctor.workers import beat_finding, listener_finding
from vwo_celery.operating.looks.health import health
from vwo_celery.queue.parts import describe_away
from vwo_celery.text.masking import mask_url

_ASK_DOCTOR = "vwo-celery doctor says what is wrong"


class _Answer(NamedTuple):
    """The first line, and what `--json` prints; None where nothing was counted."""

    line: str
    problems: Sequence[str] = ()
    remedy: str = ""
    listeners: int | None = None
    pending: int | None = None
    stopped: Sequence[str] = ()
    relays: int | None = None


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
    answer = _ask(session, _look_at_beat if beat else _look_at_queues)
    if session.json:
        print_json({"healthy": not answer.problems, **_without_line(answer)})
    else:
        print_line(answer.line)
        if answer.remedy:
            print_line(f"→ {answer.remedy}")
    context.exit(1 if answer.problems else 0)


def _without_line(answer: _Answer) -> dict[str, object]:
    return {name: value for name, value in answer._asdict().items() if name != "line"}


def _ask(session: Session, look: Callable[[Session], _Answer]) -> _Answer:
    try:
        return look(session)
    except QueueUnavailable as exc:
        reason = reason_of(exc, lambda: session.fleet)
        url = mask_url(session.settings.redis_url)
        return _unhealthy(f"{url} cannot be used: {reason.what}", reason.remedy)
    except VwoCeleryError as exc:
        return _unhealthy(str(exc))


def _look_at_queues(session: Session) -> _Answer:
    found = health(session.fleet, session.settings)
    remedy = ""
    if found.problems:
        remedy = _ASK_DOCTOR if found.listeners or session.away else listener_finding(()).remedy
    away = tuple(describe_away(part, time.time()) for part in session.away)
    session.away = ()  # told here
    found = structs.replace(found, problems=(*away, *found.problems))
    return _Answer(str(found), remedy=remedy, **structs.asdict(found))


def _look_at_beat(session: Session) -> _Answer:
    fleet = session.fleet
    finding = beat_finding(fleet.last_sweeps_ms(), fleet.now_ms(), session.settings)
    # Only "ok": while listeners sweep in beat's place nothing is late, yet beat is not healthy.
    if finding.state == "ok":
        return _Answer(f"healthy: {finding.what}")
    return _unhealthy(finding.what, finding.remedy)


def _unhealthy(problem: str, remedy: str = "") -> _Answer:
    return _Answer(f"unhealthy: {problem}", (problem,), remedy)
