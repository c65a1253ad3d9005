"""`vwo-celery health`: do events leave in time? A line and an exit code, for probes and monitors.

It looks at the queues, not at one process, unless it is asked for the worker of this host: only
`--alive` is a reason to restart one (docs/how-to/health.md). Probes run it every few seconds, so it
imports neither Celery nor what other commands print with.
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
    sign_of_this_worker,
    unhealthy,
    unheard,
    unseen,
)
from vwo_celery.operating.looks.alive import HUNG_SECONDS
from vwo_celery.text.amounts import span

#: The first line, and what `--json` prints.
_Answer = tuple[str, HealthDocument]


@click.command("health")
@click.option(
    "--beat", "asked", flag_value="beat", help="Check that the sweeps which beat sends are run."
)
@click.option(
    "--alive",
    "asked",
    flag_value="alive",
    help="Check that this host's worker is not hung, by its VWO_CELERY_ALIVE_FILE alone.",
)
@click.option(
    "--self",
    "asked",
    flag_value="self",
    help="Check that the fleet hears this host's worker.",
)
@common_options
@json_option
@click.pass_context
def check(context: click.Context, asked: str | None) -> None:
    """Check that events leave in time.

    Prints one line and, if unhealthy, what to do. Exits 0 if healthy and 1 if not; a Redis that
    cannot be used and a wrong setting are unhealthy, too. --alive asks no Redis: it fails once the
    listener of this host's worker has not turned for 45 seconds, and is the probe by which a worker
    may be restarted. --self is the probe by which it is ready.
    """
    session = context.ensure_object(Session)
    line, answer = _ask(session, _LOOKS.get(asked or "", _look_at_queues))
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


def _look_at_this_worker(session: Session) -> _Answer:
    sign = sign_of_this_worker(session.settings)
    if isinstance(sign, HealthDocument):
        return _in_words(sign)
    # A sign of the future is of before the clock was set back; a worker that lives has written another.
    ago = "ago" if sign.age_seconds >= 0 else "ahead of this host's clock, which was set back"
    turned = f"the listener of {sign.text} turned {span(abs(sign.age_seconds))} {ago}"
    if abs(sign.age_seconds) > HUNG_SECONDS:
        return _in_words(unhealthy(f"{turned}, and should each second", "restart this worker"))
    return f"alive: {turned}", HealthDocument(healthy=True)


def _look_for_this_worker(session: Session) -> _Answer:
    sign = sign_of_this_worker(session.settings)
    if isinstance(sign, HealthDocument):
        return _in_words(sign)
    if sign.text in session.fleet.listeners():
        return f"healthy: {sign.text} listens", HealthDocument(healthy=True)
    return _in_words(unheard(sign, session.settings))


_LOOKS = {
    "beat": _look_at_beat,
    "alive": _look_at_this_worker,
    "self": _look_for_this_worker,
}


def _in_words(answer: HealthDocument) -> _Answer:
    return f"unhealthy: {'; '.join(answer.problems)}", answer
