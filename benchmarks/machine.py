"""What a benchmark was measured on, for the pages that show its figures."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from shared import HERE

from vwo_celery.testing.redis_binary import find_redis_server

PACKAGES = ("redis", "hiredis", "celery")


def about() -> dict[str, str]:
    """Date, processor, load, versions and the commit of the code."""
    return {
        "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
        "processor": f"{os.cpu_count()} × {_processor()}",
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "server": _redis_server(),
        "packages": ", ".join(_versions()),
        "commit": _commit(),
    }


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text("utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _redis_server() -> str:
    told = _output_of(find_redis_server(), "--version")
    return next((word[2:] for word in told.split() if word.startswith("v=")), "unknown")


def _versions() -> list[str]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return found


def _commit() -> str:
    return _output_of("git", "describe", "--always", "--dirty").strip() or "unknown"


def _output_of(*command: str) -> str:
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout
