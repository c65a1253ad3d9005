"""compose/: what it says is checked, and every service's command and health check are run.

There is no container here. Each service runs as a local program, with the command, the variables and
the health check of compose.yaml, read with the values of .env.example. What `Stack` puts in other
words' place, and nothing else:

* `redis:6379` and `standin:8080` become ports of 127.0.0.1, and with them `8080` and `0.0.0.0`;
* redis-server gets a port and an address, redis-cli that port;
* /etc/redis/redis.conf becomes the file that compose.yaml mounts there, and /tmp/ a folder of the
  instance's own, as each container has one;
* the programs come from PATH and this Python's environment instead of the images; a machine without
  redis-cli gets one that can only ping. The working folder holds what the Dockerfile copies into /app.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
import yaml
from processes import Process
from waiting import wait_until

import vwo_celery
from vwo_celery.fleet import Fleet
from vwo_celery.inspector import registrations, view_queues
from vwo_celery.testing import free_port
from vwo_celery.testing.redis_binary import find_redis_server

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
CHECK_TIMEOUT_SECONDS = 30
HEALTHY_TIMEOUT_SECONDS = 60
VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")
#: Stands in for redis-cli where there is none: `-p PORT ping`.
PING = """\
import sys, redis
_, option, port, command = sys.argv
assert (option, command) == ("-p", "ping")
print("PONG" if redis.Redis(port=int(port)).ping() else "")
"""
#: In the order in which compose.yaml has them depend on one another.
SERVICES = ("redis", "standin", "worker", "beat", "replica")


def compose_text() -> str:
    """compose.yaml as it is written, without its comments."""
    return re.sub(r"(?m)^\s*#.*$", "", (COMPOSE / "compose.yaml").read_text("utf-8"))


def env_example() -> dict[str, str]:
    """Variables of .env.example."""
    lines = (COMPOSE / ".env.example").read_text("utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def services() -> dict[str, Any]:
    """The services, with the values of .env.example in place."""
    values = env_example()
    text = VARIABLE.sub(lambda found: values[found.group(1)], compose_text())
    declared: dict[str, Any] = yaml.safe_load(text)["services"]
    return declared


def dockerfile() -> list[list[str]]:
    """The Dockerfile's instructions, in words."""
    text = (COMPOSE / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


# -- what is written


def test_every_service_is_checked_and_started_again() -> None:
    """The services are those that the test runs; each has a health check and a restart policy."""
    declared = services()

    assert set(declared) == set(SERVICES)
    for name, service in declared.items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name
    assert declared["replica"]["deploy"]["replicas"] == 2
    assert declared["worker"]["deploy"]["replicas"] >= 2


def test_dependencies_wait_for_health() -> None:
    """Nothing starts before what it needs is healthy, and the test starts all in that order."""
    for name, service in services().items():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert SERVICES.index(needed) < SERVICES.index(name)


def test_images_are_pinned() -> None:
    """An image from elsewhere has a whole version; ours are built here."""
    froms = [words for words in dockerfile() if words[0] == "FROM"]
    stages = {words[3] for words in froms}
    images = [words[1] for words in froms if words[1] not in stages]
    images += [service["image"] for service in services().values() if "build" not in service]

    assert len(images) > 2
    for image in images:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+(-[a-z]+)+", image), image


def test_builds_name_stages_of_the_dockerfile() -> None:
    """Each build's context, file and target are there."""
    stages = {words[3] for words in dockerfile() if words[0] == "FROM"}

    for service in services().values():
        if "build" in service:
            build = service["build"]
            assert (COMPOSE / build["context"]).resolve() == ROOT
            assert (ROOT / build["dockerfile"]).is_file()
            assert build["target"] in stages


def test_the_images_run_as_nobody_in_particular() -> None:
    """The last word about the user is a number that is not root's, in each image that is run."""
    users: dict[str, str] = {}
    parents: dict[str, str] = {}
    stage = ""
    for words in dockerfile():
        if words[0] == "FROM":
            parents[words[3]], stage = words[1], words[3]
            users[stage] = users.get(words[1], "root")
        elif words[0] == "USER":
            users[stage] = words[1]

    for service in services().values():
        if "build" in service:
            user = users[service["build"]["target"]]
            assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user), user


def test_what_the_dockerfile_copies_is_there_and_sent_to_the_builder() -> None:
    """Every source of COPY exists, and Dockerfile.dockerignore lets it through."""
    ignore = (COMPOSE / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    sent = {line[1:] for line in ignore if line.startswith("!")}
    sources = [
        source.rstrip("/") for words in dockerfile() if words[0] == "COPY" for source in words[1:-1]
    ]

    assert "*" in ignore
    assert set(sources) == sent
    for source in sources:
        # Where the wheel is tested, the package is installed and not beside the tests.
        folder = Path(vwo_celery.__file__).parents[1] if source == "vwo_celery" else ROOT
        assert (folder / source).exists(), source


def test_variables_are_settings_with_their_defaults() -> None:
    """compose.yaml and .env.example name the same variables with the same values; ours exist."""
    used = dict(VARIABLE.findall(compose_text()))
    ours = {
        name
        for service in services().values()
        for name in (*service.get("environment", {}), *env_example())
        if name.startswith("VWO_CELERY_")
    }

    assert used == env_example()
    assert ours
    for name in ours:
        assert name.removeprefix("VWO_CELERY_").lower() in vwo_celery.Settings.__struct_fields__


def test_there_is_no_secret() -> None:
    """No key, token or password stands in the files, nor a place that asks for one in the clear."""
    for path in COMPOSE.iterdir():
        text = path.read_text("utf-8")
        assert not re.search(r"\b[0-9a-fA-F]{32,}\b", text), path
        assert not re.search(r"(?i)\w*(password|secret|token|sdk_key)\w*\s*[=:]\s*\S", text), path
        assert "@" not in "".join(re.findall(r"\w+://\S+", text)), path


def test_a_worker_that_is_stopped_may_finish_its_request() -> None:
    """The time to stop exceeds the longest POST."""
    grace = services()["worker"]["stop_grace_period"]

    assert int(grace.removesuffix("s")) > int(env_example()["VWO_CELERY_REQUEST_TIMEOUT_SECONDS"])


# -- what runs


class Instance:
    """One container's program: its process, and its health check."""

    def __init__(self, process: Process, check: list[str], env: Mapping[str, str]) -> None:
        self.process = process
        self._check = check
        self._env = {**os.environ, **env}
        self._cwd = process.log_path.parent / "app"

    def check(self) -> subprocess.CompletedProcess[str]:
        """Run the health check."""
        return subprocess.run(
            self._check, env=self._env, cwd=self._cwd, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=CHECK_TIMEOUT_SECONDS,
        )  # fmt: skip

    def wait_until_healthy(self) -> None:
        """Return when the health check passes, as what depends on it waits."""
        self.process.wait_until(
            lambda: self.check().returncode == 0,
            HEALTHY_TIMEOUT_SECONDS,
            what=f"health of {self.process.name}",
        )


class Stack:
    """compose.yaml as local programs; see the module's text for what is put in whose place."""

    def __init__(self, folder: Path) -> None:
        self.redis_port = free_port()
        self.standin_port = free_port()
        self._folder = folder
        self._bin = self._programs()
        self.instances = {
            name: [self._instance(name, service, i) for i in range(self._count(service))]
            for name, service in services().items()
        }

    def all(self) -> list[Instance]:
        """Every instance, in the order of the services."""
        return [instance for name in SERVICES for instance in self.instances[name]]

    def start(self) -> None:
        """Start all, each when what it depends on is healthy."""
        for name in SERVICES:
            for instance in self.instances[name]:
                instance.process.start()
            for instance in self.instances[name]:
                instance.wait_until_healthy()

    def stop(self) -> None:
        """End all: the others together, as none needs another to end, and Redis after them."""
        redis, *others = self.all()
        with ThreadPoolExecutor(len(others)) as pool:
            list(pool.map(lambda instance: instance.process.stop(), others))
        redis.process.stop()

    def stats(self) -> dict[str, Any]:
        """What the stand-in has counted."""
        connection = http.client.HTTPConnection("127.0.0.1", self.standin_port, timeout=5)
        connection.request("GET", "/stats")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def client(self) -> redis_py.Redis:
        """A client of the Redis."""
        return redis_py.Redis(port=self.redis_port)

    @staticmethod
    def _count(service: Mapping[str, Any]) -> int:
        return int(service.get("deploy", {}).get("replicas", 1))

    def _instance(self, name: str, service: Mapping[str, Any], number: int) -> Instance:
        folder = self._folder / f"{name}-{number + 1}"
        (folder / "tmp").mkdir(parents=True)
        self._fill_app(folder / "app")
        env = {
            key: self._local(str(value), folder)
            for key, value in service.get("environment", {}).items()
        }
        env |= {"PATH": os.pathsep.join([str(self._bin), os.environ["PATH"]]), "NO_PROXY": "*"}
        command = [self._local(word, folder) for word in service["command"]]
        if name == "redis":
            command += ["--port", str(self.redis_port), "--bind", "127.0.0.1"]
        process = Process(
            self._found(command[0]), *command[1:],
            folder=folder, name=f"{name}-{number + 1}", env=env, cwd=folder / "app",
        )  # fmt: skip
        package = str(Path(vwo_celery.__file__).parents[1])
        return Instance(process, self._check(service, folder), {**env, "PYTHONPATH": package})

    def _check(self, service: Mapping[str, Any], folder: Path) -> list[str]:
        kind, *words = (self._local(word, folder) for word in service["healthcheck"]["test"])
        if kind == "CMD-SHELL":
            words = ["/bin/sh", "-c", *words]
        else:
            assert kind == "CMD"
        return [self._found(words[0]), *words[1:]]

    def _local(self, text: str, folder: Path) -> str:
        for there, here in {
            "redis:6379": f"127.0.0.1:{self.redis_port}",
            "standin:8080": f"127.0.0.1:{self.standin_port}",
            "0.0.0.0": "127.0.0.1",
            "8080": str(self.standin_port),
            "redis-cli": f"redis-cli -p {self.redis_port}",
            "/etc/redis/redis.conf": str(self._mounted("/etc/redis/redis.conf")),
            "/tmp/": f"{folder / 'tmp'}/",
        }.items():
            text = re.sub(rf"(?<!\w){re.escape(there)}(?!\d)", here, text)
        return text

    @staticmethod
    def _mounted(target: str) -> Path:
        for volume in services()["redis"]["volumes"]:
            source, inside, *_ = volume.split(":")
            if inside == target:
                return (COMPOSE / source).resolve(strict=True)
        raise AssertionError(f"nothing is mounted on {target}")

    def _found(self, program: str) -> str:
        path = os.pathsep.join([str(self._bin), os.environ["PATH"]])
        found = shutil.which(program, path=path)
        assert found, f"{program} is not on this machine"
        return found

    def _programs(self) -> Path:
        """A folder with the programs that the images have, each under the name it has there."""
        folder = self._folder / "bin"
        folder.mkdir()
        server, python = Path(find_redis_server()), Path(sys.executable)
        client = shutil.which("redis-cli") or server.with_name("redis-cli")
        targets = {"python": [python], "celery": [python.with_name("celery")]}
        targets |= {"redis-server": [server], "redis-cli": [Path(client)]}
        if not Path(client).exists():
            (folder / "ping.py").write_text(PING)
            targets["redis-cli"] = [python, folder / "ping.py"]
        for name, words in targets.items():
            # Not links: a Python environment is told by where its programs are.
            line = shlex.join(map(str, words))
            (folder / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
            (folder / name).chmod(0o755)
        return folder

    @staticmethod
    def _fill_app(app: Path) -> None:
        app.mkdir()
        stage = ""
        for words in dockerfile():
            stage = words[3] if words[0] == "FROM" else stage
            if words[0] == "COPY" and stage in ("worker", "demo"):
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / words[1], app / words[2], ignore=ignore)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services, healthy; each one's health check failed before it was started."""
    stack = Stack(tmp_path_factory.mktemp("compose"))
    unstarted = [stack.instances[name][0].check() for name in SERVICES]
    try:
        stack.start()
        assert [check.args for check in unstarted if check.returncode == 0] == []
        yield stack
    finally:
        stack.stop()


def test_all_services_are_healthy_together(stack: Stack) -> None:
    """Each health check passes against the others, and none has ended."""
    for instance in stack.all():
        check = instance.check()
        assert check.returncode == 0, f"{instance.process.name}: {check.stdout}"
        assert instance.process.exit_code is None


def test_events_of_both_replicas_arrive_in_batches(stack: Stack) -> None:
    """From the SDK in a replica to the stand-in, by way of the shared queue, and all is accounted for."""
    taken = wait_until(
        lambda: stats if (stats := stack.stats())["accepted"] >= 2 else None,
        HEALTHY_TIMEOUT_SECONDS,
        what="two batches at the stand-in",
    )
    views = view_queues(fleet := Fleet(stack.client(), "vwo"), registrations(fleet).readable)

    assert taken["events"] / taken["accepted"] > 2
    assert (taken["rejected"], taken["singles"]) == (0, 0)
    assert len(views) == 1
    assert views[0].ledger.balanced
    assert views[0].ledger.dead == 0


def test_redis_keeps_what_it_is_given(stack: Stack) -> None:
    """redis.conf is in force: on disk, and never evicted."""
    with stack.client() as client:
        config = client.config_get("*")

    assert config["appendonly"] == "yes"
    assert config["maxmemory-policy"] == "noeviction"
    assert int(config["maxmemory"]) > 0


def test_services_write_nowhere_but_into_their_tmp(stack: Stack) -> None:
    """With a read-only root, as compose.yaml asks for, nothing would be missing."""
    for name in SERVICES:
        if name == "redis":
            continue
        assert services()[name]["read_only"] is True
        for instance in stack.instances[name]:
            app = instance.process.log_path.parent / "app"
            fresh = [path for path in app.rglob("*") if "__pycache__" not in path.parts]
            assert {path.relative_to(app).parts[0] for path in fresh} == {"workers"}
