"""`python -m workers.health`: do events leave in time? Prints one line; exits 0 if so, else 1.

With `beat`, `python -m workers.health beat`: are the sweeps that beat sends being run?

For whatever watches the workers (a container's health check, a monitor). It looks at the queues, not
at one process: see docs/how-to/operate.md before having workers restarted by it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vwo_celery.connections import open_client, unavailable
from vwo_celery.errors import VwoCeleryError
from vwo_celery.operating.findings import beat_finding
from vwo_celery.operating.health import health
from vwo_celery.queue.fleet import Fleet
from vwo_celery.settings import Settings
from vwo_celery.text.masking import mask_url

_REDIS_TIMEOUT_SECONDS = 5.0


def main(arguments: Sequence[str] = ()) -> int:
    """Print the fleet's health, or beat's; the exit code."""
    if list(arguments) not in ([], ["beat"]):
        return _report("usage: python -m workers.health [beat]", 2)
    try:
        settings = Settings.load()
    except VwoCeleryError as exc:
        return _report(f"unhealthy: {exc}", 1)
    try:
        with unavailable("opening a connection"):
            client = open_client(settings.redis_url, timeout_seconds=_REDIS_TIMEOUT_SECONDS)
        fleet = Fleet(client, settings.namespace)
        look = _look_at_beat if arguments else _look_at_queues
        line, well = look(fleet, settings)
    except (VwoCeleryError, ValueError) as exc:
        return _report(f"unhealthy: {mask_url(settings.redis_url)} cannot be used: {exc}", 1)
    return _report(line, 0 if well else 1)


def _look_at_queues(fleet: Fleet, settings: Settings) -> tuple[str, bool]:
    found = health(fleet, settings)
    return str(found), bool(found)


def _look_at_beat(fleet: Fleet, settings: Settings) -> tuple[str, bool]:
    # Not "ok" as well where workers sweep in beat's place: nothing is late, and beat is not well.
    found = beat_finding(fleet.last_sweeps_ms(), fleet.now_ms(), settings)
    well = found.state == "ok"
    return f"{'healthy' if well else 'unhealthy'}: {found.what}", well


def _report(line: str, code: int) -> int:
    sys.stdout.write(f"{line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
