"""Events that are enqueued while the interpreter ends: the process ends, and each receipt is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import redis as redis_py

from tools.producers import KEPT, connect, numbers, stored
from vwo_celery.testing import free_port

pytestmark = pytest.mark.declared_keys(*KEPT)
TOOLS = Path(__file__).parents[2] / "tools"
#: Much longer than the program takes; one that waits for a thread would never end.
HANGS_SECONDS = 240


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True, text=True, timeout=HANGS_SECONDS, check=False,
    )  # fmt: skip


def receipts(ran: subprocess.CompletedProcess[str]) -> dict[int, str]:
    """Number and place of each event."""
    assert ran.returncode == 0, ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines()]
    return {int(number): place for number, place, *_ in lines}


@pytest.mark.parametrize("when", ["first", "later"])
def test_with_redis(when: str, redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> None:
    """Each event is stored once, in Redis or on disk, as its receipt says."""
    places = receipts(run(str(TOOLS / "ending_program.py"), redis_url, str(tmp_path), when))

    assert len(places) == (5 if when == "first" else 6)
    assert set(places.values()) <= {"redis", "spooled"}
    assert places.get(0, "redis") == places[1] == "redis"
    assert connect(redis_url, spool_dir=str(tmp_path)).drain_spool(20)
    assert sorted(stored(redis)) == sorted(numbers(6)[6 - len(places) :])


@pytest.mark.parametrize("when", ["first", "later", "last"])
def test_without_redis(when: str, tmp_path: Path) -> None:
    """Each event is spooled, though no thread can be started any more."""
    url = f"redis://127.0.0.1:{free_port()}/0"

    ran = run(str(TOOLS / "ending_program.py"), url, str(tmp_path), when)

    places = receipts(ran)
    assert set(places.values()) == {"spooled"}, ran
    assert connect(url, spool_dir=str(tmp_path)).spooled() == len(places)


BESIDE_A_LOGGING_THREAD = """
import atexit, builtins, logging, os, sys, threading
from tools.producers import connect

queue = connect(sys.argv[1], spool_dir="", enqueue_timeout_seconds=0.2)

class Stuck:
    def write(self, text):  # the thread stands here, with the lock of logging's handler
        writing.set()
        threading.Event().wait()

    flush = write

class Ending:
    def __del__(self, queue=queue, write=os.write):
        receipt = queue.enqueue({"n": 1})
        write(1, f"1 {receipt.where} {receipt.reason}".encode())

writing = threading.Event()
logging.basicConfig(stream=Stuck(), level="WARNING")
logging.raiseExceptions = False
atexit.unregister(logging.shutdown)  # it would wait for the same lock
threading.Thread(target=logging.warning, args=("stuck",), daemon=True).start()
writing.wait()
builtins.last = Ending()  # the thread keeps this module's own globals alive
"""


def test_beside_a_thread_that_was_logging() -> None:
    """A thread that the end stopped inside of logging keeps no event's drop from being told."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    program = f"import sys; sys.path.insert(0, {str(TOOLS.parent)!r})\n{BESIDE_A_LOGGING_THREAD}"

    ran = run("-c", program, url)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "1 dropped redis_unavailable"
