"""FME applications as processes of their own: the SDK keeps one client per process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vwo_celery.testing import Standin

#: Longest life of an application; one that the SDK's timers keep alive lives for 600 s and more.
APPLICATION_TIMEOUT_SECONDS = 30

_PRELUDE = """\
import json, logging, os, sys
import vwo_celery
logging.basicConfig(stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
F = json.loads(os.environ["FACTS"])
OPTIONS, REDIS_URL, USER = F["options"], F["redis_url"], {"id": "user-1"}

def tell(**facts):
    print("TOLD " + json.dumps(facts), flush=True)

"""


class Told(msgspec.Struct, frozen=True):
    """What an application said before it ended by itself.

    Attributes:
        facts: All that it told.
        log: Its log.
        process: The process, ended.
    """

    facts: dict[str, Any]
    log: str


@pytest.fixture
def settings(capture: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The settings that the captures were made with."""
    return capture("settings_fme")


@pytest.fixture
def standin(settings: dict[str, Any]) -> Iterator[Standin]:
    """A stand-in for VWO that serves those settings."""
    with Standin(settings=settings) as standin:
        yield standin


@pytest.fixture
def application(
    standin: Standin, redis_url: str, settings: dict[str, Any], tmp_path: Path
) -> Callable[..., Told]:
    """Runs code in a process of its own, with OPTIONS, REDIS_URL, USER, F and tell().

    The code must let the process end, unless it calls os._exit: a client that is not on the shared
    queue polls for settings for ever.
    """
    account = {"sdk_key": settings["sdkKey"], "account_id": settings["accountId"]}

    def run(*pieces: str, options: Mapping[str, Any] = {}, **facts: Any) -> Told:
        code = (_PRELUDE, *pieces)
        facts["redis_url"] = facts.get("redis_url", redis_url)
        facts["options"] = {**account, "proxy_url": standin.url, **options}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", "".join(map(textwrap.dedent, code))],
            cwd=tmp_path,  # a checkout as working folder would be imported instead of the wheel
            env={**os.environ, "FACTS": json.dumps(facts)},
            check=False,
            capture_output=True,
            text=True,
            timeout=APPLICATION_TIMEOUT_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = {}
        for line in done.stdout.splitlines():
            if line.startswith("TOLD "):
                told.update(json.loads(line[len("TOLD ") :]))
        return Told(told, done.stderr)

    return run
