"""deploy/procfile: each line as the platform starts it, behind `.profile`, with Redis behind TLS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import trustme
from redis import Redis

from tools.deployed import PROCFILE
from tools.installation import event
from tools.processes import Process
from tools.relays import ACCOUNT, KEY, LEGACY, RelayClient
from tools.tls_front import TlsFront
from tools.waiting import wait_until
from vwo_celery.testing import Standin, free_port

LINES = dict(
    line.split(": ", 1) for line in (PROCFILE / "Procfile").read_text("utf-8").splitlines()
)
_STOP_SECONDS = 45.0
_STARTED = 30.0

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups", "info", "*:broker:*")
Start = Callable[[str], Process]


@pytest.fixture
def platform_redis(redis_url: str) -> Iterator[str]:
    """REDIS_URL as Heroku gives it: TLS, with a certificate that nobody else has signed."""
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    with TlsFront(port, trustme.CA().issue_cert("redis.example")) as front:
        yield redis_url.replace(f"redis://127.0.0.1:{port}", f"rediss://127.0.0.1:{front.port}")


@pytest.fixture
def port() -> int:
    """What the platform says to the line `web`."""
    return free_port()


@pytest.fixture
def start(platform_redis: str, port: int, standin: Standin, tmp_path: Path) -> Iterator[Start]:
    """Start a line of the Procfile as a platform does: in a shell that has read `.profile`."""
    env = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "REDIS_URL": platform_redis, "PORT": str(port), "VWO_CELERY_REDIS_URL": None,
        "VWO_CELERY_RELAY_ACCOUNTS": f"{ACCOUNT}={KEY}", "VWO_CELERY_RELAY_UPSTREAM": standin.url,
        "VWO_CELERY_RELAY_REQUEST_TIME_INTERVAL": "1", "VWO_CELERY_ALLOWED_HOSTS": standin.netloc,
    }  # fmt: skip
    with ExitStack() as running:

        def run(name: str) -> Process:
            line = LINES[name].replace("/tmp/", f"{tmp_path}/")
            script = f". {PROCFILE / '.profile'}; exec {line}"
            process = Process(
                "sh", "-c", script, folder=tmp_path, name=name, env=env,
                stop_timeout_seconds=_STOP_SECONDS,
            )  # fmt: skip
            return running.enter_context(process)

        yield run


def test_the_lines_of_the_procfile_deliver(
    start: Start, port: int, standin: Standin, redis: Redis
) -> None:
    """An event goes from the relay through Redis and a worker to VWO; SIGTERM to all ends each."""
    programs = [start(name) for name in LINES]
    programs[0].wait_for_port(port, _STARTED)

    answer = RelayClient(port).post(LEGACY, json.dumps({"ev": [event("anna")]}).encode())

    assert answer.status == 200
    wait_until(lambda: len(standin.events) == 1, _STARTED, what="the event")
    beat = programs[-1]
    beat.wait_for_log("beat: Starting...", _STARTED)
    assert psutil.Process(programs[1].pid).children() == []  # none that SIGTERM ends in its POST
    for process in programs:
        os.killpg(process.pid, signal.SIGTERM)
    assert [process.wait(_STOP_SECONDS) for process in programs[:2]] == [0, 0]
    assert len(standin.events) == 1


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"REDIS_URL": "rediss://:a@b:1"}, "rediss://:a@b:1?ssl_cert_reqs=none"),
        ({"REDIS_URL": "redis://:a@b:1"}, "redis://:a@b:1"),
        ({"REDIS_URL": "rediss://b:1?ssl_ca_certs=c"}, "rediss://b:1?ssl_ca_certs=c"),
        ({"REDIS_URL": "rediss://a", "VWO_CELERY_REDIS_URL": "redis://b"}, "redis://b"),
    ],
)
def test_the_profile_takes_the_redis_of_the_platform(given: dict[str, str], made: str) -> None:
    """Without TLS it names no check, nor for a URL with options; what the operator has set wins."""
    script = f". {PROCFILE / '.profile'}; printenv VWO_CELERY_REDIS_URL"

    told = subprocess.run(
        ["sh", "-eu", "-c", script], env=given, capture_output=True, text=True, check=True
    )

    assert told.stdout == f"{made}\n"
