"""deploy/: the commands and probes of pods and units, as local programs with a real Redis."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tools.command_line import run_command
from tools.deployed import (
    REDIS_CONF,
    REDIS_CONF_NAME,
    ROOT,
    container,
    local,
    redis_command,
    redis_options,
    unit_command,
    units,
    variables,
)
from tools.processes import Process
from vwo_celery.testing import RedisServer, free_port

SECRET = "a-secret-of-this-test"
COMPONENTS = ("worker", "beat", "relay", "console")
_numbers = itertools.count()


class Program:
    """What a pod or a unit starts, as a program of this machine, beside the probes of the pod.

    Args:
        component: Its name in `deploy/`.
        command: Its words there.
        given: Variables that it gets there.
        folder: A folder for all that it writes and reads.
        redis_url: The queues.
    """

    def __init__(
        self,
        component: str,
        command: list[str],
        given: dict[str, str],
        folder: Path,
        redis_url: str,
    ) -> None:
        self.component, self.port, self._folder = component, free_port(), folder
        (folder / "etc").mkdir()
        (folder / "spool").mkdir()
        (folder / "spool").chmod(0o2777)  # as an emptyDir that belongs to a group of the pod's
        (folder / "etc" / "accounts").write_text("700001=*\n")
        (folder / "etc" / "credentials").write_text(f"keda viewer {SECRET}\n")
        here = {
            "/tmp/": f"{folder}/", "/spool/": f"{folder}/spool/", "/etc/vwo-celery/": f"{folder}/etc/",
            "/run/vwo-celery-worker/": f"{folder}/", "/var/lib/vwo-celery-beat/": f"{folder}/",
            "/var/lib/vwo-celery-relay": f"{folder}/state",
            "0.0.0.0:8099": f"127.0.0.1:{self.port}", "0.0.0.0:8000": f"0.0.0.0:{self.port}",
        }  # fmt: skip
        texts = {name: local(["", text], here)[-1] for name, text in given.items()}
        address = f"127.0.0.1:{self.port}"
        self.env = {
            "VWO_CELERY_REDIS_URL": redis_url, "VWO_CELERY_RELAY_LISTEN": address,
            "VWO_CELERY_CONSOLE_LISTEN": address, **texts,
        }  # fmt: skip
        self.process = Process(
            *local(command, here), folder=folder, name=component, env=self.env, cwd=ROOT,
            stop_timeout_seconds=45,
        )  # fmt: skip

    def passes(self, probe: str, **env: str) -> bool:
        """Whether a probe of the pod passes now."""
        declared = container(self.component)[probe]
        if "httpGet" in declared:
            return self.answers(declared["httpGet"]["path"]) == 200
        words = local(declared["exec"]["command"], {})
        name = f"probe-{next(_numbers)}"
        asked = Process(*words, folder=self._folder, name=name, env={**self.env, **env}, cwd=ROOT)
        with asked:
            return asked.wait(60) == 0

    def answers(self, path: str, **headers: str) -> int:
        """The status that it answers, asked at its address as the kubelet asks; 0 for none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Host": f"10.1.2.3:{self.port}", **headers})
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()


@pytest.fixture
def pod(
    redis_url: str, tmp_path: Path, declared_keys: Callable[..., None]
) -> Iterator[Callable[[str], Program]]:
    """The container of a component, started; ended after the test."""
    declared_keys("*:broker:*")
    started: list[Process] = []

    def start(component: str) -> Program:
        (tmp_path / component).mkdir()
        words, given = container(component)["args"], variables(component)
        program = Program(component, words, given, tmp_path / component, redis_url)
        started.append(program.process)
        program.process.start()
        return program

    yield start
    for process in reversed(started):
        process.stop()


def test_the_pods_of_a_fleet_become_ready(pod: Callable[[str], Program]) -> None:
    """Each container starts with its very command; its probes pass then."""
    worker = pod("worker")
    others = [pod(component) for component in COMPONENTS[1:]]
    fleet = [worker, *others]

    for each in fleet:
        each.process.wait_until(
            lambda each=each: each.passes("readinessProbe"), 60, what=f"{each.component}"
        )

    assert worker.passes("livenessProbe")
    assert not worker.passes("readinessProbe", VWO_CELERY_NAMESPACE="another")
    assert all(each.passes("livenessProbe") for each in others if each.component != "beat")
    console = others[-1]
    assert console.answers("/api/v1/scale") == 401
    assert console.answers("/api/v1/scale", Authorization=f"Bearer {SECRET}") == 200


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_program_of_each_unit_runs_and_ends(
    component: str, redis_url: str, tmp_path: Path, declared_keys: Callable[..., None]
) -> None:
    """Each unit's command runs; SIGTERM to its main process alone ends it and its children."""
    declared_keys("*:broker:*")
    given = dict(text.split("=", 1) for text in units()[component].get("Environment", ()))
    program = Program(component, unit_command(component), given, tmp_path, redis_url)
    ready = {
        "worker": (tmp_path / "alive").exists,
        "beat": lambda: _has_schedule(tmp_path),
        "relay": lambda: program.answers("/readyz") == 200,
        "console": lambda: program.answers("/readyz") == 200,
    }[component]

    with program.process as process:
        process.wait_until(ready, 60, what=component)
        os.kill(process.pid, signal.SIGTERM)
        code = process.wait(60)

    assert code == 0


def test_redis_reads_what_the_drop_in_names() -> None:
    """Redis takes the file after its own, and the doctor has nothing to say about it."""
    words, options = redis_command(), redis_options()
    at = words.index("--include")
    assert words[at + 1] == REDIS_CONF_NAME

    with RedisServer(arguments=("--include", str(REDIS_CONF))) as server:
        client: Any = redis_py.Redis.from_url(server.url, decode_responses=True)
        told = {name: client.config_get(name)[name] for name in options}
        found = json.loads(run_command(["doctor", "--redis-url", server.url, "--json"]).stdout)

    assert told == {**options, "maxmemory": str(2 * 2**30)}
    states = {each["check"]: each["state"] for each in found}
    assert {states[check] for check in ("eviction", "persistence", "memory")} == {"ok"}


def _has_schedule(folder: Path) -> bool:
    """Whether beat has written its schedule: one that ends before leaves it half open, and exits 1."""
    return any(b"utc_enabled" in file.read_bytes() for file in folder.glob("schedule*"))
