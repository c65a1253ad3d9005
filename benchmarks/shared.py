"""Parts that the benchmarks share: servers, events, rounds in turns, and a table."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import vwo_celery
from vwo_celery.events import encode
from vwo_celery.testing import free_port

HERE = Path(__file__).parent
KEY = "0123456789abcdef0123456789abcdef"
EVENT_BYTES = 700
console = Console()
#: Where events go that Redis does not take in time; in the user's own folder they would stay for ever.
if "VWO_CELERY_SPOOL_DIR" not in os.environ:
    _spools = tempfile.TemporaryDirectory(prefix="vwo-celery-bench-", ignore_cleanup_errors=True)
    os.environ["VWO_CELERY_SPOOL_DIR"] = _spools.name


def event(number: int = 0) -> dict[str, Any]:
    """An FME-shaped event of EVENT_BYTES bytes of JSON."""
    made: dict[str, Any] = {
        "d": {
            "msgId": f"2584169C931C5DA0A74682A964784297-{1795307469975 + number:013d}",
            "visId": "2584169C931C5DA0A74682A964784297",
            "sessionId": 1795307469,
            "event": {
                "props": {
                    "vwo_sdkName": "vwo-fme-python-sdk",
                    "vwo_sdkVersion": "1.65.0",
                    "vwo_envKey": KEY,
                    "id": 1,
                    "variation": "1",
                    "isFirst": 1,
                    "vwoMeta": {"a": 888888, "env": KEY, "eb": 1, "lv": "3.11.7", "th": 1},
                },
                "name": "vwo_variationShown",
                "time": 1795307469975,
            },
            "visitor": {"props": {"vwo_fs_environment": KEY, "note": ""}},
        }
    }
    missing = EVENT_BYTES - len(encode(made))
    made["d"]["visitor"]["props"]["note"] = "x" * missing
    return made


def destination(url: str = "http://127.0.0.1:9") -> vwo_celery.Destination:
    """Destination of a benchmark's events."""
    return vwo_celery.Destination(account_id=888888, sdk_key=KEY, generation="fme", base_url=url)


def in_turns(
    contenders: dict[str, Callable[[], None]], *, rounds: int, events: int
) -> dict[str, list[float]]:
    """Microseconds an event for each contender, one figure a round; a first round is not counted."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, contender in contenders.items():
            started = time.perf_counter()
            contender()
            if turn:
                found[name].append((time.perf_counter() - started) / events * 1e6)
    return found


def ratio(found: dict[str, list[float]], ours: str, other: str) -> float:
    """Median over the rounds of ours divided by the other."""
    return statistics.median(a / b for a, b in zip(found[ours], found[other], strict=True))


def show(title: str, rows: list[tuple[str, ...]], *columns: str) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        # Where the terminal is narrow, no digit is left out.
        table.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


@contextmanager
def sink(*, latency_ms: float = 0) -> Iterator[Sink]:
    """A trivial HTTP server in a process of its own."""
    port = free_port()
    with program("sink.py", str(port), str(latency_ms)):
        found = Sink(port)
        found.await_start()
        yield found


@contextmanager
def cluster(masters: int) -> Iterator[Any]:
    """A Redis Cluster on loopback, that of the tests: see tests/tools/redis_groups.py."""
    sys.path.append(str(HERE.parent / "tests"))
    from tools.redis_groups import ClusterGroup

    with ClusterGroup(masters) as group:
        yield group


@contextmanager
def program(*command: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python program beside this one, ended with it."""
    folders = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": folders, **env},
        cwd=HERE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


class Sink:
    """Client of the sink: its counts."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def await_start(self) -> None:
        """Return once it answers."""
        for _ in range(200):
            try:
                self.reset()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("the sink did not start")

    def reset(self) -> None:
        """Count from zero."""
        self._ask("/reset")

    def stats(self) -> tuple[int, int, float, float]:
        """Requests, body bytes, and the Unix times of the first and the last request."""
        requests, size, first, last = self._ask("/stats").split()
        return int(requests), int(size), float(first), float(last)

    def _ask(self, path: str) -> str:
        import urllib.request

        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return str(answer.read().decode())
