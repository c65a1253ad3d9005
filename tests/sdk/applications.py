"""Run an application that uses an SDK in its own process, and read what it reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

#: Longest life of an application in seconds; one that the SDK's timers keep alive lives 600 s and
#: more.
_TIMEOUT_SECONDS = 30

_PRELUDE = r'''\
import json, logging, os, sys, traceback
import vwo_celery
logging.basicConfig(stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
F = json.loads(os.environ["FACTS"])
REDIS_URL = F["redis_url"]

def tell(**facts):
    # In one write, so that lines of several processes do not mix.
    os.write(1, f"TOLD {json.dumps(facts)}\n".encode())

def in_processes(*works):
    """Do each work in a fork, all at the same time; returns exit codes, or minus the signals."""
    pids = [_fork(work) for work in works]
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]

def _fork(work):
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)

'''


class Told(msgspec.Struct, frozen=True):
    """Output of an application that ended by itself.

    Attributes:
        facts: Everything that it reported.
        log: Its log.
    """

    facts: dict[str, Any]
    log: str


def run_application(
    *pieces: str, folder: Path, facts: Mapping[str, Any], exit_code: int = 0
) -> Told:
    """Run code in its own process, with F (the facts), REDIS_URL, tell() and in_processes().

    Args:
        *pieces: The code; each piece may have its own indentation.
        folder: Working directory; not a checkout, which would be imported instead of the wheel.
        facts: Facts for the code; must have redis_url.
        exit_code: Expected exit code; minus the signal's number if a signal ends the process.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PRELUDE + "".join(map(textwrap.dedent, pieces))],
        cwd=folder,
        env={**os.environ, "FACTS": json.dumps(facts)},
        check=False,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
    )
    assert done.returncode == exit_code, done.stderr
    told: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("TOLD "):
            told.update(json.loads(line[len("TOLD ") :]))
    return Told(told, done.stderr)
