"""`python -m workers.health`: do events leave in time? Prints one line; exits 0 if so, else 1.

For whatever watches the workers (a container's health check, a monitor). It looks at the queues, not
at one process: see docs/how-to/operate.md before having workers restarted by it.
"""

from __future__ import annotations

import sys

from vwo_celery.connections import open_client
from vwo_celery.errors import VwoCeleryError
from vwo_celery.fleet import Fleet
from vwo_celery.inspector import health
from vwo_celery.settings import Settings
from vwo_celery.wording import mask_url

_REDIS_TIMEOUT_SECONDS = 5.0


def main() -> int:
    """Print the fleet's health; the exit code."""
    try:
        settings = Settings.load()
    except VwoCeleryError as exc:
        return _report(f"unhealthy: {exc}", 1)
    try:
        client = open_client(settings.redis_url, timeout_seconds=_REDIS_TIMEOUT_SECONDS)
        found = health(Fleet(client, settings.namespace), settings)
    except (VwoCeleryError, ValueError) as exc:
        return _report(f"unhealthy: {mask_url(settings.redis_url)} cannot be used: {exc}", 1)
    return _report(str(found), 0 if found else 1)


def _report(line: str, code: int) -> int:
    sys.stdout.write(f"{line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
