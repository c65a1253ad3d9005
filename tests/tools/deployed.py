"""What `deploy/` declares: Kubernetes' objects, systemd's units, and each command as a local program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
BASE = KUBERNETES / "base"
KEDA = KUBERNETES / "keda"
SYSTEMD = ROOT / "deploy" / "systemd"
PROCFILE = ROOT / "deploy" / "procfile"
REDIS_DROP_IN = SYSTEMD / "redis-server.service.d" / "vwo-celery.conf"
#: What that drop-in has Redis read, by the name under which it looks for it.
REDIS_CONF = SYSTEMD / "redis.conf"
REDIS_CONF_NAME = "/etc/redis/vwo-celery.conf"


def objects(folder: Path = BASE) -> list[dict[str, Any]]:
    """Every object of a folder, but for its kustomization."""
    files = [path for path in sorted(folder.glob("*.yaml")) if path.stem != "kustomization"]
    return [each for path in files for each in yaml.safe_load_all(path.read_text("utf-8"))]


def kustomization(folder: Path) -> dict[str, Any]:
    """A folder's kustomization."""
    found: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    return found


def named(kind: str, name: str, folder: Path = BASE) -> dict[str, Any]:
    """The object of a kind whose name is vwo-celery-NAME."""
    (found,) = (
        each
        for each in objects(folder)
        if (each["kind"], each["metadata"]["name"]) == (kind, f"vwo-celery-{name}")
    )
    return found


def pods() -> dict[str, dict[str, Any]]:
    """The pod of each deployment, by its component."""
    return {
        each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: (
            each["spec"]["template"]["spec"]
        )
        for each in objects()
        if each["kind"] == "Deployment"
    }


def container(component: str) -> dict[str, Any]:
    """The only container of a pod."""
    (found,) = pods()[component]["containers"]
    return dict(found)


def variables(component: str) -> dict[str, str]:
    """Variables that a pod sets by itself."""
    return {each["name"]: each["value"] for each in container(component).get("env", ())}


def units() -> dict[str, dict[str, list[str]]]:
    """The values of each unit's keys, in their order, by the unit's component."""
    return {
        path.stem.removeprefix("vwo-celery-"): dict(_values(path))
        for path in sorted(SYSTEMD.glob("*.service"))
    }


def _values(path: Path) -> Iterator[tuple[str, list[str]]]:
    lines = re.findall(r"(?m)^(\w+)=(.*)$", path.read_text("utf-8"))
    for name in dict.fromkeys(name for name, _ in lines):
        yield name, [value for each, value in lines if each == name]


def unit_command(component: str) -> list[str]:
    """What a unit starts, without the folder of its environment."""
    (line,) = units()[component]["ExecStart"]
    program, *rest = shlex.split(line)
    return [Path(program).name, *rest]


def local(words: list[str], here: Mapping[str, str]) -> list[str]:
    """A command on this machine: these texts are replaced, and programs are modules of this Python."""
    modules = {"celery": ["-m", "celery"], "vwo-celery": ["-m", "vwo_celery"]}
    program, *rest = words
    there = "|".join(map(re.escape, here)) or r"(?!)"  # a pattern that fits nothing
    replaced = [re.sub(there, lambda found: here[found[0]], word) for word in rest]
    return ["python", *modules.get(program, []), *replaced]


def redis_options() -> dict[str, str]:
    """What Redis is configured to, by the file for it."""
    lines = re.findall(r"(?m)^([\w-]+) (\S+)$", REDIS_CONF.read_text("utf-8"))
    return dict(lines)


def redis_command() -> list[str]:
    """What the drop-in starts in the place of the distribution's command."""
    cleared, line = re.findall(r"(?m)^ExecStart=(.*)$", REDIS_DROP_IN.read_text("utf-8"))
    assert not cleared
    return shlex.split(line)
