"""A whole installation for a test: real Redis, real workers, VWO's stand-in."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis as redis_py

import vwo_celery
from tools.processes import Process
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import Snapshot, take_snapshot
from vwo_celery.testing import Standin, wait_for

#: Folder of the Celery app and the programs that installations run.
ACCEPTANCE = Path(__file__).parents[1] / "acceptance"
KEY = "0123456789abcdef0123456789abcdef"
ACCOUNT = 888888
_THREAD_SECONDS = 20
#: Celery's warm shutdown of prefork takes 30 s longer if a task reaches a child in its first moment.
_STOP_SECONDS = 45.0
_QUIET_SECONDS = 4.0
_QUICK_START = ("--without-mingle", "--without-gossip")


def event(name: str) -> dict[str, Any]:
    """A legacy event with a name of its own."""
    return {
        "u": name, "sId": 1795307390, "visitor_ua": "", "visitor_ip": "", "c": 2, "e": 101, "eT": 1,
    }  # fmt: skip


class Installation:
    """Producers, workers and VWO around one Redis; ends everything that it has started."""

    def __init__(self, redis_url: str, standin: Standin, folder: Path) -> None:
        self.redis_url = redis_url
        self.standin = standin
        self.folder = folder
        self.reports_path = folder / "reports.jsonl"
        self.destination = vwo_celery.Destination(
            account_id=ACCOUNT, sdk_key=KEY, generation="legacy", base_url=standin.url
        )
        self.app = "delivery_app"
        self.started: list[Process] = []
        self.env = {
            "VWO_CELERY_REDIS_URL": redis_url,
            "VWO_CELERY_ALLOWED_HOSTS": standin.netloc,
            "VWO_CELERY_CALLBACK_MODULES": "delivery_app",
            "VWO_CELERY_BACKOFF_BASE_SECONDS": "0.1",
            "VWO_CELERY_BACKOFF_MAX_SECONDS": "1",
            "VWO_CELERY_SWEEP_INTERVAL_SECONDS": "0.2",
            "REPORTS": str(self.reports_path),
        }

    def connect(self, **batch: Any) -> vwo_celery.Queue:
        """A producer in this process."""
        return vwo_celery.connect(
            self.destination, batch_event_data=batch, strict=True, redis_url=self.redis_url
        )

    def connect_with(self, settings: dict[str, Any], **batch: Any) -> vwo_celery.Queue:
        """Connect with settings of the producer."""
        return vwo_celery.connect(
            self.destination, batch_event_data=batch, redis_url=self.redis_url, **settings
        )

    def most_in_flight(self, queue: vwo_celery.Queue, at_least: int) -> int:
        """Number of batches in flight if it is *at_least*, else 0."""
        batches = [each for each in self.snapshot(queue).batches if each.state == "in_flight"]
        return len(batches) if len(batches) >= at_least else 0

    def worker(self, *arguments: str, name: str = "worker", **env: str) -> Process:
        """A Celery worker, ready to take tasks."""
        process = self.start(
            "worker",
            "--loglevel=INFO",
            "--concurrency=2",
            *_QUICK_START,
            *arguments,
            name=name,
            **env,
        )
        process.wait_for_log("ready.")
        return process

    def beat(self, name: str = "beat") -> Process:
        """A Celery beat."""
        schedule = str(self.folder / f"{name}-schedule")
        return self.start("beat", "--loglevel=INFO", f"--schedule={schedule}", name=name)

    def start(self, *arguments: str, name: str, **env: str) -> Process:
        """A Celery program of the installation's app."""
        process = Process(
            "python", "-m", "celery", "-A", self.app, *arguments,
            folder=self.folder, name=name, env={**self.env, **env}, cwd=ACCEPTANCE,
            stop_timeout_seconds=_STOP_SECONDS,
        )  # fmt: skip
        self.started.append(process)
        process.start()
        return process

    def reports(self, kind: str) -> list[dict[str, Any]]:
        """Reports that the workers' receivers and callbacks wrote."""
        if not self.reports_path.exists():
            return []
        lines = map(json.loads, self.reports_path.read_text().splitlines())
        return [line for line in lines if line["kind"] == kind]

    def snapshot(self, queue: vwo_celery.Queue) -> Snapshot:
        """Snapshot of the queue's only shard."""
        return take_snapshot(producer_of(queue).shards[0])

    def delivered(self) -> list[str]:
        """Names of the events that VWO accepted, in order of arrival."""
        return [each["u"] for each in self.standin.events]

    @contextmanager
    def in_thread(self, work: Callable[[], object]) -> Iterator[None]:
        """Run *work* in a thread during the block, and wait for its end."""
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield
        thread.join(_THREAD_SECONDS)
        assert not thread.is_alive()

    def stop(self) -> None:
        """End everything that was started, once no task message is on its way."""
        if any(process.exit_code is None for process in self.started):
            with suppress(TimeoutError):  # a test may leave some on purpose
                wait_for(self._is_quiet, _QUIET_SECONDS)
        for process in reversed(self.started):
            process.stop()

    def _is_quiet(self) -> bool:
        with redis_py.Redis.from_url(self.redis_url) as client:
            waiting = [*client.scan_iter("*:slots"), *client.scan_iter("*:wakeups")]
            return not waiting and not client.llen("broker:celery")
