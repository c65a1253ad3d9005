"""The programs of `vwo-celery dev`: a Redis, a stand-in for VWO, a worker and beat.

Logs and working files are in one folder, which is deleted at the end; so are the events, unless they
are to be kept. If this process is killed, the folder goes as well, and on Linux the kernel kills its
programs.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from vwo_celery.connections import shared_client
from vwo_celery.demo.children import Child, stop_all
from vwo_celery.demo.folders import BriefFolder, KeptFolder
from vwo_celery.errors import QueueUnavailable, VwoCeleryError
from vwo_celery.queue.fleet import Fleet
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer, free_port
from vwo_celery.testing.redis_server import death_bound_launcher

STANDIN_PORT, REDIS_PORT = 8080, 6379
_HOST = "127.0.0.1"
_LANES = 2
_ANSWER_TIMEOUT_SECONDS = 1.0
#: Variables of the caller's that would lead the programs elsewhere.
_REPLACED = ("VWO_CELERY_BROKER_URL",)


class Wishes(NamedTuple):
    """The choices of whoever types the command.

    Attributes:
        redis_url: A Redis that runs already; "" to start one.
        port: TCP port of the stand-in; None for 8080, or a free one.
        redis_port: That of the Redis; None for 6379, or a free one.
        data: Folder in which Redis keeps its data; None to keep none.
        app: The Celery app, as `celery -A` takes it.
    """

    redis_url: str
    port: int | None
    redis_port: int | None
    data: Path | None
    app: str


class Workbench:
    """Everything that `vwo-celery dev` starts; `close` ends it and leaves no file."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self.port = wishes.port if wishes.port is not None else _port(STANDIN_PORT)
        self._brief = BriefFolder("vwo-celery-dev-")
        self.folder = self._brief.path
        self._kept: KeptFolder | None = None
        self._redis: RedisServer | None = None
        if not wishes.redis_url:
            kept = ("--dir", str(wishes.data)) if wishes.data is not None else ()
            kept = ("--appendfsync", "everysec", *kept)
            port = wishes.redis_port if wishes.redis_port is not None else _port(REDIS_PORT)
            self._redis = RedisServer(
                appendonly=True, arguments=kept, port=port, within=self.folder
            )
        self.children: list[Child] = []

    @property
    def redis_url(self) -> str:
        """URL of the Redis, in any case one that holds the queues."""
        return self._redis.url if self._redis is not None else self._wishes.redis_url

    @property
    def variables(self) -> dict[str, str]:
        """The variables that an application, a worker or a command of the same set-up needs."""
        return {
            "VWO_CELERY_REDIS_URL": self.redis_url,
            "VWO_CELERY_ALLOWED_HOSTS": f"localhost:{self.port},{_HOST}:{self.port}",
        }

    def start(self) -> None:
        """Start all programs.

        Raises:
            RedisServerMissing: There is no Redis on this machine; says how to get one.
            RedisServerFailed: It did not start.
            QueueUnavailable: The Redis that was named does not answer.
            VwoCeleryError: A port is taken, or the folder for the data cannot be used.
        """
        if self._wishes.data is not None:
            self._kept = KeptFolder(self._wishes.data)
        _require_free(self.port, "--port")
        if self._redis is not None:
            _require_free(self._redis.port, "--redis-port")
            self._redis.start()
        self._fleet().ping()
        settings = Path(__file__).with_name("vwo_settings.json")
        standin = ["vwo_celery.testing.standin", f"--port={self.port}", f"--settings={settings}"]
        self._start("vwo", *standin, cwd=self.folder)
        app = self._wishes.app
        self._start(
            "worker", "celery", "--quiet", "-A", app, "worker", "--loglevel=INFO", "--pool=threads",
            f"--concurrency={_LANES}", "--without-mingle", "--without-gossip", "--hostname=dev@%h",
        )  # fmt: skip
        schedule = f"--schedule={self.folder / 'schedule'}"
        beat = ("beat", "--loglevel=INFO", schedule, "--pidfile=")
        self._start("beat", "celery", "--quiet", "-A", app, *beat)

    def _start(self, name: str, module: str, *arguments: str, cwd: Path | None = None) -> None:
        command = [*death_bound_launcher(), sys.executable, "-m", module, *arguments]
        folder = cwd if cwd is not None else Path.cwd()
        child = Child(name, command, self.folder, self._environment(), cwd=folder)
        child.start()
        self.children.append(child)

    def _environment(self) -> dict[str, str]:
        inherited = {name: text for name, text in os.environ.items() if name not in _REPLACED}
        hosts = [self.variables["VWO_CELERY_ALLOWED_HOSTS"]]
        hosts += [given] if (given := inherited.get("VWO_CELERY_ALLOWED_HOSTS")) else []
        return {
            **inherited,
            **self.variables,
            "VWO_CELERY_ALLOWED_HOSTS": ",".join(hosts),
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": f"{_HOST},localhost",
            "no_proxy": f"{_HOST},localhost",
        }

    def _fleet(self) -> Fleet:
        client = shared_client(self.redis_url, timeout_seconds=_ANSWER_TIMEOUT_SECONDS)
        return Fleet(client, Settings.load().namespace)

    @property
    def ready(self) -> bool:
        """Whether the stand-in answers and a worker listens."""
        try:
            return self._standin_answers() and bool(self._fleet().listeners())
        except QueueUnavailable:
            return False

    def _standin_answers(self) -> bool:
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=_ANSWER_TIMEOUT_SECONDS)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """Name of a program, and a line that it has written since the last call."""
        for child in self.children:
            for line in child.new_lines():
                yield child.name, line

    def ended(self) -> tuple[str, int | None, str] | None:
        """A program that has ended by itself: its name, its exit code and its last lines."""
        for child in self.children:
            if not child.running:
                return child.name, child.exit_code, child.log_tail()
        if self._redis is not None and not self._redis.running:
            return "redis", self._redis.exit_code, self._redis.log()
        return None

    def close(self, *, hurry: Callable[[], bool]) -> None:
        """End every program, at once on *hurry*, and delete every file but kept data."""
        stop_all(self.children[::-1], hurry=hurry)
        if self._redis is not None:
            self._redis.close()
        if self._kept is not None:
            self._kept.close()
        self._brief.delete()


def _port(usual: int) -> int:
    """The usual port, or a free one if somebody has that."""
    return usual if _is_free(usual) else free_port()


def _require_free(port: int, option: str) -> None:
    if not _is_free(port):
        raise VwoCeleryError(f"port {port} is taken; name another one with {option}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True
