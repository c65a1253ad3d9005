"""Two releases side by side: this one, and the one before it as it was shipped.

The wheel of the release before lies beside this file. It is unpacked and comes first on the path of
every program of that release; all other imports are from this environment. The script that stores
every state uses internals of its release: each release keeps its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import vwo_celery
from vwo_celery.destinations import Destination

HERE = Path(__file__).parent
STORED = sorted(HERE.glob("stored-*.json"))
_COMMAND = (sys.executable, "-c", "from vwo_celery.cli import main; main()")
_COMMAND_SECONDS = 60
#: A time: in the document, times are in scores, in info lines and in fields of hashes.
_TIME = re.compile(r"(?<![0-9])1[0-9]{12}(?![0-9])")
_NEAR_MS = 30 * 86_400_000


class Release(NamedTuple):
    """One release, the folder of its package, and the script that stores every state."""

    version: str
    folder: Path
    script: Path

    @property
    def path(self) -> str:
        """PYTHONPATH of its programs."""
        return os.pathsep.join([str(self.folder), str(HERE)])

    def run(self, *command: str, cwd: Path, **env: str) -> str:
        """The output of a program of this release, which must succeed."""
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False, cwd=cwd,
            env={**os.environ, "PYTHONPATH": self.path, **env},
        )  # fmt: skip
        assert done.returncode == 0, f"{self.version}: {command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def command(self, *words: str, cwd: Path, redis_url: str) -> Any:
        """The output of its `vwo-celery … --json`."""
        words = (*words, "--json", "--redis-url", redis_url)
        return json.loads(self.run(*_COMMAND, *words, cwd=cwd))

    def told(self, *, cwd: Path, redis_url: str) -> Any:
        """Its report on everything in a Redis."""
        return json.loads(self.run(sys.executable, str(self.script), "--tell", redis_url, cwd=cwd))

    def store(self, path: Path) -> Stored:
        """The data that it stores, in every state."""
        self.run(sys.executable, str(self.script), str(path), cwd=path.parent)
        return Stored.load(path)


def this_release() -> Release:
    """The release under test."""
    folder = Path(vwo_celery.__file__).parents[1]
    return Release(vwo_celery.__version__, folder, HERE / "store_everything.py")


def release_before(folder: Path) -> Release:
    """The release before, unpacked into *folder*."""
    (wheel,) = HERE.glob("vwo_celery-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    version = wheel.name.split("-")[1]
    return Release(version, folder, HERE / f"store_everything-{version}.py")


class Stored(msgspec.Struct):
    """Data that a release stored.
    Attributes:
        made_ms: Time when it was stored.
        told: The release's report on it.
        keys: Every key: its type, its value, and its time to live in ms, or None.
    """

    made_ms: int
    told: dict[str, Any]
    keys: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Stored:
        """Read the file as it was written."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    @property
    def version(self) -> str:
        """The release that stored it."""
        return str(self.told["version"])

    @property
    def events(self) -> list[Any]:
        """Every event in it."""
        lists = (each["value"] for each in self.keys.values() if each["type"] == "list")
        found = (json.loads(text) for texts in lists for text in texts)
        return [event for event in found if isinstance(event, dict)]

    def at(self, now_ms: int) -> Stored:
        """The same data, as if stored at the given time."""
        moved = self._moved(now_ms - self.made_ms)
        return Stored(now_ms, moved["told"], moved["keys"])

    def _moved(self, by_ms: int) -> Any:
        def move(found: re.Match[str]) -> str:
            at = int(found[0])
            return str(at + by_ms) if abs(at - self.made_ms) < _NEAR_MS else found[0]

        text = json.dumps({"told": self.told, "keys": self.keys})
        return json.loads(_TIME.sub(move, text))

    def bound_for(self, base_url: str) -> Stored:
        """The same data with events for the given host, and so with other queue names."""
        text = json.dumps({"told": self.told, "keys": self.keys})
        for name, new_name, old_url in self._renamed(base_url):
            text = text.replace(name, new_name).replace(old_url, base_url)
        return Stored(self.made_ms, **json.loads(text))

    def _renamed(self, base_url: str) -> list[tuple[str, str, str]]:
        (registered,) = (each for key, each in self.keys.items() if key.endswith(":queues"))
        found = []
        for name, text in registered["value"].items():
            given = json.loads(text)["destination"]
            # Otherwise a producer of this release would not find its queue again.
            assert Destination(**given).queue == name
            other = Destination(**{**given, "base_url": base_url})
            found.append((name, other.queue, given["base_url"]))
        return found

    def with_fields(self, fields: Mapping[str, str]) -> Stored:
        """The same data with more fields in each meta hash and registration, as of a later release."""
        keys = json.loads(json.dumps(self.keys))
        for name, each in keys.items():
            if name.endswith(":meta"):
                each["value"] |= fields
            if name.endswith(":queues"):
                each["value"] = {
                    queue: json.dumps(_with(json.loads(text), fields))
                    for queue, text in each["value"].items()
                }
        return Stored(self.made_ms, self.told, keys)

    def write(self, client: Any) -> None:
        """Write it into an empty Redis."""
        for name, each in self.keys.items():
            value = each["value"]
            if each["type"] == "string":
                client.set(name, value)
            elif each["type"] == "list":
                client.rpush(name, *value)
            elif each["type"] == "set":
                client.sadd(name, *value)
            elif each["type"] == "hash":
                client.hset(name, mapping=value)
            else:
                client.zadd(name, value)
            if each["ttl_ms"] is not None:
                client.pexpire(name, each["ttl_ms"])


def _with(registration: dict[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    limits = {**registration["limits"], **fields}
    destination = {**registration["destination"], **fields}
    return {**registration, **fields, "limits": limits, "destination": destination}
