"""Workers, beats and applications of two releases on one Redis, and what tests ask about them.

The release before is the wheel that was shipped; it lies in tests/upgrade, with the data that
releases stored.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import redis as redis_py

from tools.processes import Process, Processes
from tools.waiting import wait_until
from upgrade import releases
from upgrade.releases import Release
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.looks.inspector import Ledger
from vwo_celery.queue import fleet as queues
from vwo_celery.queue.words.keys import fleet_keys
from vwo_celery.testing import Standin

UPGRADE = Path(releases.__file__).parent
EVENTS = 600
ENV = {
    "VWO_CELERY_SWEEP_INTERVAL_SECONDS": "0.2",
    "VWO_CELERY_BACKOFF_BASE_SECONDS": "0.1",
    "VWO_CELERY_BACKOFF_MAX_SECONDS": "1",
    "VWO_CELERY_LEASE_SECONDS": "5",
    "VWO_CELERY_REQUEST_TIMEOUT_SECONDS": "4",
}
WAIT_SECONDS = 60.0
#: The longest time ahead that a sign of life may have; one further ahead counts as junk.
_START_MS = 14_000


class Fleet:
    """Workers, beats and applications of both releases on one Redis."""

    def __init__(self, redis_url: str, standin: Standin, folder: Path) -> None:
        self.redis_url, self.standin, self.folder = redis_url, standin, folder
        self._queues = queues.Fleet(redis_py.Redis.from_url(redis_url), "vwo")
        env = {
            **ENV,
            "VWO_CELERY_REDIS_URL": redis_url,
            "VWO_CELERY_ALLOWED_HOSTS": standin.netloc,
        }
        self._programs = Processes(folder, env=env, stop_timeout_seconds=45)

    def worker(self, release: Release, name: str) -> Process:
        """Start a Celery worker; it accepts tasks."""
        worker = self._celery(release, name, "worker", "--concurrency=2", "--without-mingle")
        worker.wait_for_log("ready.")
        return worker

    def beat(self, release: Release) -> Process:
        """Start a Celery beat."""
        schedule = f"--schedule={self.folder / 'schedule'}"
        return self._celery(release, "beat", "beat", schedule)

    def produce(self, release: Release, name: str, events: int = EVENTS) -> Process:
        """Run an application that enqueues the given number of events and ends."""
        program = ("python", str(UPGRADE / "produce.py"), self.standin.url, name, str(events))
        return self._start(release, name, *program)

    def produce_newer(self, release: Release, events: int) -> Process:
        """Run an application with queues that the release before cannot send."""
        program = ("python", str(UPGRADE / "produce_newer.py"), self.standin.url, str(events))
        return self._start(release, "newer", *program)

    def _celery(self, release: Release, name: str, *words: str) -> Process:
        program = ("python", "-m", "celery", "-A", "upgrade_app")
        return self._start(release, name, *program, *words, "--loglevel=INFO")

    def _start(self, release: Release, name: str, *program: str) -> Process:
        process = self._programs.start(*program, name=name, PYTHONPATH=release.path)
        process.wait_for_log(f"release {release.version}")
        return process

    def command(self, release: Release, *words: str) -> Any:
        """The output of that release's `vwo-celery … --json`, which must succeed."""
        return release.command(*words, cwd=self.folder, redis_url=self.redis_url)

    def ledgers(self) -> list[Ledger]:
        """The ledgers of all queues, read by this process."""
        registered = self._queues.registrations().readable
        return [view.ledger for view in inspector.view_queues(self._queues, registered)]

    def wait_for_all(self) -> None:
        """Return once every event of every queue is delivered."""

        def undelivered() -> int:
            return sum(each.accepted - each.delivered - each.dropped for each in self.ledgers())

        wait_until(
            lambda: not undelivered(), WAIT_SECONDS, what="all delivered", every_seconds=0.05
        )

    def in_flight(self) -> int:
        """The events in flight."""
        return sum(each.in_flight for each in self.ledgers())

    def names(self) -> Counter[str]:
        """The number of times that VWO accepted each event."""
        return Counter(map(name_of, self.standin.events))

    def stop(self) -> None:
        """Stop all programs."""
        self._programs.stop()


def name_of(event: Any) -> str:
    """The name that identifies an event."""
    return str(event["u"] if "u" in event else event["d"]["visId"])


def now_ms(redis: redis_py.Redis) -> int:
    """Redis' time."""
    seconds, microseconds = redis.time()
    return seconds * 1000 + microseconds // 1000


def keep_listening(redis: redis_py.Redis) -> None:
    """Keep signs of life valid while a program starts, which may take long on a busy machine."""
    listeners = fleet_keys("vwo").listeners
    for name in redis.zrange(listeners, 0, -1):
        redis.zadd(listeners, {name: now_ms(redis) + _START_MS})


def assert_balanced(fleet: Fleet, *those: Release) -> None:
    """Every ledger is balanced, and those releases tell the same ones."""
    ledgers = [fleet.command(release, "ledger") for release in those]
    assert all(each["balanced"] for ledger in ledgers for each in ledger)
    assert ledgers[0] == ledgers[-1]
