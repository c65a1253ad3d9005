"""compose/compose.yaml as local programs, for a machine without containers.

Each service runs with the command, the variables and the health check of compose.yaml, read with the
values of .env.example. Only these words are replaced:

* `redis:6379`, `standin:8080` and `relay:8099` become ports of 127.0.0.1, and with them `8080`, `8099`,
  nginx' `8090`, and `0.0.0.0`;
* redis-server gets a port and an address, redis-cli that port; nginx' configuration as `nginx` says;
* /etc/redis/redis.conf becomes the file that compose.yaml mounts there, a secret the file that it is made
  from, and /tmp/ and /spool a folder of the instance's own, as each container has one;
* the programs come from PATH and this Python's environment instead of the images; a machine without
  redis-cli or wget gets one that can do what compose.yaml asks of it. The working folder holds what the
  Dockerfile copies into /app.
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
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis as redis_py
import yaml

import vwo_celery
from tools.nginx import find_nginx, user_directive, write_configuration
from tools.processes import Process
from vwo_celery.testing import free_port
from vwo_celery.testing.redis_binary import find_redis_server

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
CHECK_TIMEOUT_SECONDS = 30
HEALTHY_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 20
VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")
#: Stands in for redis-cli where there is none: `-p PORT ping`.
PING = """\
import sys, redis
_, option, port, command = sys.argv
assert (option, command) == ("-p", "ping")
print("PONG" if redis.Redis(port=int(port)).ping() else "")
"""
#: Stands in for wget where there is none: `-q -O /dev/null URL`.
FETCH = """\
import sys, urllib.request
_, quiet, option, sink, url = sys.argv
assert (quiet, option, sink) == ("-q", "-O", "/dev/null")
urllib.request.urlopen(url, timeout=5).read()
"""
#: Services in order of dependency: each needs only those before it.
SERVICES = ("redis", "standin", "worker", "beat", "relay", "nginx", "replica")


def compose_text() -> str:
    """compose.yaml as it is written, without its comments."""
    return re.sub(r"(?m)^\s*#.*$", "", (COMPOSE / "compose.yaml").read_text("utf-8"))


def env_example() -> dict[str, str]:
    """Variables of .env.example."""
    lines = (COMPOSE / ".env.example").read_text("utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def declared() -> dict[str, Any]:
    """All of compose.yaml, with the values of .env.example in place."""
    values = env_example()
    text = VARIABLE.sub(lambda found: values[found.group(1)], compose_text())
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def services() -> dict[str, Any]:
    """The services, with the values of .env.example in place."""
    found: dict[str, Any] = declared()["services"]
    return found


def dockerfile() -> list[list[str]]:
    """Instructions of the Dockerfile, each as a list of words."""
    text = (COMPOSE / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


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
        """Return once the health check passes, as a dependent service would wait."""
        self.process.wait_until(
            lambda: self.check().returncode == 0,
            HEALTHY_TIMEOUT_SECONDS,
            what=f"health of {self.process.name}",
        )


class Stack:
    """compose.yaml as local programs; the module's docstring lists the replaced words."""

    def __init__(self, folder: Path) -> None:
        self.redis_port = free_port()
        self.standin_port = free_port()
        self.relay_port = free_port()
        self.nginx_port = free_port()
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
        """End all other services together, since none needs another to end; then Redis."""
        redis, *others = self.all()
        with ThreadPoolExecutor(len(others)) as pool:
            list(pool.map(lambda instance: instance.process.stop(), others))
        redis.process.stop()

    def stats(self) -> dict[str, Any]:
        """Counts of the stand-in."""
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
        if name == "nginx":
            self._configure_nginx(service, folder)
            command[-1] += user_directive()
        process = Process(
            self._found(command[0]), *command[1:],
            folder=folder, name=f"{name}-{number + 1}", env=env, cwd=folder / "app",
            stop_timeout_seconds=STOP_TIMEOUT_SECONDS,
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
        """Replace the names inside a container by their local equivalents, in one pass."""
        here = {
            "redis:6379": f"127.0.0.1:{self.redis_port}",
            "standin:8080": f"127.0.0.1:{self.standin_port}",
            "0.0.0.0": "127.0.0.1",
            "relay:8099": f"127.0.0.1:{self.relay_port}",
            "8080": str(self.standin_port),
            "8099": str(self.relay_port),
            "8090": str(self.nginx_port),
            "redis-cli": f"redis-cli -p {self.redis_port}",
            "/etc/redis/redis.conf": str(self._mounted("/etc/redis/redis.conf")),
            "/etc/nginx/relay/nginx.conf": str(folder / "nginx" / "nginx.conf"),
            "/tmp/": f"{folder / 'tmp'}/",
            "/spool": str(folder / "spool"),
        }
        here |= {
            f"/run/secrets/{name}": str((COMPOSE / secret["file"]).resolve(strict=True))
            for name, secret in declared()["secrets"].items()
        }
        there = "|".join(map(re.escape, here))
        return re.sub(rf"(?<!\w)(?:{there})(?!\d)", lambda found: here[found[0]], text)

    def _configure_nginx(self, service: Mapping[str, Any], folder: Path) -> None:
        """Write the configuration that is mounted, with the addresses of this machine."""
        assert service["volumes"] == ["./nginx:/etc/nginx/relay:ro"]
        (folder / "nginx").mkdir()
        write_configuration(folder / "nginx", port=self.nginx_port, relays=[self.relay_port])

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
        """Make a folder with the programs of the images, under the same names."""
        folder = self._folder / "bin"
        folder.mkdir()
        server, python = Path(find_redis_server()), Path(sys.executable)
        client = shutil.which("redis-cli") or server.with_name("redis-cli")
        targets: dict[str, list[Path | str]] = {"python": [python]}
        targets["celery"] = [python.with_name("celery")]
        targets |= {"redis-server": [server], "redis-cli": [Path(client)]}
        targets |= {"nginx": [Path(find_nginx())], "vwo-celery": [python, "-m", "vwo_celery"]}
        if not shutil.which("wget"):
            (folder / "fetch.py").write_text(FETCH)
            targets["wget"] = [python, folder / "fetch.py"]
        if not Path(client).exists():
            (folder / "ping.py").write_text(PING)
            targets["redis-cli"] = [python, folder / "ping.py"]
        for name, words in targets.items():
            # Scripts, not links: Python finds its environment by the path of the program.
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
            if words[0] == "COPY" and stage in ("worker", "relay", "demo"):
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / words[1], app / words[2], ignore=ignore)
