"""The programs of the demo and their settings: Redis, VWO's stand-in, workers, beat, replicas.

All files are in one folder, which is deleted at the end.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

import vwo_celery
from vwo_celery.connections import open_worker_client
from vwo_celery.demo.children import PARENT_VARIABLE, Child, stop_all
from vwo_celery.demo.deliveries import FILE_VARIABLE, NAME_VARIABLE, Delivery, read_deliveries
from vwo_celery.demo.folders import BriefFolder
from vwo_celery.demo.replica import EVENTS_PER_VISIT, ReplicaReport
from vwo_celery.queue.fleet import Fleet
from vwo_celery.testing import RedisServer, free_port
from vwo_celery.testing.standin.tally import Stats

WORKERS = 2
_LANES_PER_WORKER = 2
LATENCY_MS = 80
EVENTS_PER_REQUEST = 100
REQUEST_TIME_INTERVAL = 2
LEASE_SECONDS = 5.0
#: Longer than the default: no visitor waits here, and the demo may keep the machine busy.
_ENQUEUE_TIMEOUT_SECONDS = 5.0
_QUICK_START = ("--without-mingle", "--without-gossip", "--without-heartbeat")
_STATS_TIMEOUT_SECONDS = 5
#: Prefixes of the caller's variables that must not reach the demo.
_FOREIGN = ("VWO_", "CELERY_", "DJANGO_")
_INSTALLED = ("site-packages", "dist-packages")


class Plan(msgspec.Struct, frozen=True):
    """The size of the demo.

    Attributes:
        seconds: How long visitors come.
        replicas: Number of replicas.
        events_per_second: Events of all replicas together.
    """

    seconds: float
    replicas: int
    events_per_second: int


class Stage:
    """Everything that the demo starts; `close` ends it and leaves no file."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._brief = BriefFolder("vwo-celery-demo-")
        self.folder = self._brief.path
        self._redis = RedisServer(
            appendonly=True, arguments=("--appendfsync", "everysec"), within=self.folder
        )
        self._standin_port = free_port()
        self._deliveries = self.folder / "deliveries"
        self._journal = self.folder / "journal"
        self.standin: Child | None = None
        self.workers: list[Child] = []
        self.beat: Child | None = None
        self.replicas: list[Child] = []

    def open_redis(self) -> Fleet:
        """Start Redis; the queues in it.

        Raises:
            RedisServerMissing: There is no Redis on this machine; says how to get one.
            RedisServerFailed: It did not start.
        """
        self._redis.start()
        return Fleet(open_worker_client(self._redis.url), "vwo")

    def start_standin(self) -> None:
        """Start VWO's stand-in."""
        self.standin = self._child("stand-in", "vwo_celery.demo.standin", *self._standin_options())
        self.standin.start()

    def start_workers(self) -> None:
        """Start the workers and beat, each a program of its own."""
        self.workers = [self._celery_child(f"worker {i + 1}", *_worker(i)) for i in range(WORKERS)]
        schedule = f"--schedule={self.folder / 'schedule'}"
        self.beat = self._celery_child("beat", "beat", schedule, "--pidfile=")
        for child in (*self.workers, self.beat):
            child.start()

    def start_replicas(self) -> None:
        """Start the replicas."""
        numbers = range(1, self.plan.replicas + 1)
        self.replicas = [
            self._child(f"replica {i}", "vwo_celery.demo.replica", *self._replica_options(i))
            for i in numbers
        ]
        for child in self.replicas:
            child.start()

    def children(self) -> list[Child]:
        """All programs but Redis, in the order in which they are best ended."""
        others = [child for child in (self.beat, self.standin) if child is not None]
        return [*self.replicas, *self.workers, *others]

    def close(self, *, hurry: Callable[[], bool]) -> None:
        """End every program, at once on *hurry*, and delete every file."""
        stop_all(self.children(), hurry=hurry)
        self._redis.close()
        self._brief.delete()

    # -- reports of the programs

    def stats(self) -> Stats | None:
        """The counts of VWO's stand-in; None if it does not answer (yet)."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._standin_port, timeout=_STATS_TIMEOUT_SECONDS
        )
        try:
            connection.request("GET", "/stats")
            return msgspec.json.decode(connection.getresponse().read(), type=Stats)
        except OSError:
            return None
        finally:
            connection.close()

    def journal(self) -> list[str]:
        """Digest of each event that the stand-in took, in order of arrival."""
        return self._journal.read_text("ascii").split() if self._journal.exists() else []

    def deliveries(self) -> list[Delivery]:
        """The batches that workers say VWO accepted."""
        return read_deliveries(self._deliveries)

    def alive_path(self, number: int) -> Path:
        """The file in which replica *number* leaves its signs of life."""
        return self.folder / f"alive-{number}"

    def reports(self) -> list[ReplicaReport]:
        """The reports of the replicas that have ended in order."""
        paths = sorted(self.folder.glob("report-*"))
        return [msgspec.json.decode(path.read_bytes(), type=ReplicaReport) for path in paths]

    # -- how they are started

    def _standin_options(self) -> list[str]:
        return [
            f"--port={self._standin_port}", f"--latency-ms={LATENCY_MS}",
            f"--journal={self._journal}",
        ]  # fmt: skip

    def _replica_options(self, number: int) -> list[str]:
        visits = self.plan.events_per_second / EVENTS_PER_VISIT / self.plan.replicas
        return [
            f"--name={number}", f"--vwo-url=http://127.0.0.1:{self._standin_port}",
            f"--seconds={self.plan.seconds}", f"--visits-per-second={visits}",
            f"--events-per-request={EVENTS_PER_REQUEST}",
            f"--request-time-interval={REQUEST_TIME_INTERVAL}",
            f"--alive={self.alive_path(number)}", f"--report={self.folder / f'report-{number}'}",
        ]  # fmt: skip

    def _celery_child(self, name: str, *arguments: str) -> Child:
        return self._child(name, "celery", "-A", "vwo_celery.demo.app", *arguments)

    def _child(self, name: str, module: str, *arguments: str) -> Child:
        command = [sys.executable, "-m", module, *arguments]
        return Child(name, command, self.folder, {**self._environment(), NAME_VARIABLE: name})

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
        return {
            **inherited,
            **_python_path(inherited),
            "PYTHONUNBUFFERED": "1",
            # Files that a killed program leaves, such as prefork's, are deleted with the folder.
            "TMPDIR": str(self.folder),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            PARENT_VARIABLE: str(os.getpid()),
            FILE_VARIABLE: str(self._deliveries),
            "VWO_CELERY_REDIS_URL": self._redis.url,
            "VWO_CELERY_ALLOWED_HOSTS": f"127.0.0.1:{self._standin_port}",
            "VWO_CELERY_REQUEST_TIMEOUT_SECONDS": "2",
            "VWO_CELERY_LEASE_SECONDS": str(LEASE_SECONDS),
            "VWO_CELERY_SWEEP_INTERVAL_SECONDS": "0.5",
            "VWO_CELERY_ENQUEUE_TIMEOUT_SECONDS": str(_ENQUEUE_TIMEOUT_SECONDS),
        }


def _worker(index: int) -> list[str]:
    return [
        "worker", f"--hostname=demo-{index + 1}@%h", f"--concurrency={_LANES_PER_WORKER}",
        "--loglevel=WARNING", *_QUICK_START,
    ]  # fmt: skip


def _python_path(inherited: dict[str, str]) -> dict[str, str]:
    """PYTHONPATH for programs in another folder, if this package is not installed."""
    home = Path(vwo_celery.__file__).resolve().parents[1]
    if home.name in _INSTALLED:
        return {}
    given = inherited.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(home), *([given] if given else [])])}
