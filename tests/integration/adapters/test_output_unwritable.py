"""Commands whose standard output takes nothing more: a full disk, a pipe that nobody reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.queue_states import HOLDS_SOMETHING, Queues

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released")
FULL = "Error: standard output cannot be written: No space left on device"


def run(*words: str, stdout: int) -> tuple[int, str]:
    """Run the command as a program; its exit code, and what it prints on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "vwo_celery", *words],
        check=False, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize("words", ["acl --json", "dead export --output -"])
def test_a_full_disk_is_one_line(queues: Queues, words: str) -> None:
    """Neither a traceback, nor a word of success."""
    queues.fill(queue := queues.add(), 5)
    queues.kill(queue, "VWO answered 413")

    with Path("/dev/full").open("wb") as full:
        ended = run(*words.split(), "--redis-url", queues.settings.redis_url, stdout=full.fileno())

    assert ended == (1, FULL)


def test_a_pipe_that_nobody_reads_is_no_error(queues: Queues) -> None:
    """As `| head -1` leaves one."""
    queues.fill(queue := queues.add(), 5)
    queues.kill(queue, "VWO answered 413")
    words = ("dead", "export", "--output", "-", "--redis-url", queues.settings.redis_url)
    reading, writing = os.pipe()
    os.close(reading)

    ended = run(*words, stdout=writing)
    os.close(writing)

    assert ended == (1, "")
