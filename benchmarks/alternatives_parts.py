"""The processes of bench_alternatives: a producer, a Celery worker, and a server that counts events."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from shared import HERE, Sink

STOP_SECONDS = 10
_POLL_SECONDS = 0.02


class Way(NamedTuple):
    """One of the compared ways for events to reach the server."""

    title: str
    #: Its name in alternatives_producer.WAYS.
    name: str
    #: Where events wait: "Redis", "process", or "" if they do not.
    waits_in: str
    python: str
    #: Module of its Celery app, "" if it has no worker, and the worker's prefetch multiplier.
    app: str
    prefetch: int
    packages: tuple[str, ...]
    #: Advice where it cannot be measured.
    remedy: str = ""


class EventSink(Sink):
    """The sink, which also counts how often a word arrives."""

    def count(self, word: str) -> None:
        """Count from zero."""
        self._ask(f"/count/{word}")

    def await_words(self, wanted: int, seconds: float) -> tuple[int, float]:
        """Wait for *wanted* words or the deadline; their number, and the Unix time of the last."""
        deadline = time.monotonic() + seconds
        while True:
            came, last = self._ask("/words").split()
            if int(came) >= wanted or time.monotonic() > deadline:
                return int(came), float(last)
            time.sleep(_POLL_SECONDS)


class Producer:
    """A process that hands over events; see alternatives_producer."""

    def __init__(
        self, process: subprocess.Popen[str], log: IO[bytes], task: dict[str, Any]
    ) -> None:
        self._process, self._log = process, log
        told = self._ask(task)
        self.missing: str = told.get("missing", "")
        self.versions: str = told.get("versions", "")

    def ask(self, what: str, events: int) -> dict[str, Any]:
        """Make it "time" or "weigh" that many events."""
        return self._ask([what, events])

    def _ask(self, question: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        while line := self._process.stdout.readline():
            # Packages print lines of their own.
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise RuntimeError(f"the producer ended ({self._process.wait()}): {_end_of(self._log)}")


@contextmanager
def producer(way: Way, env: dict[str, str], task: dict[str, Any]) -> Iterator[Producer]:
    """A producer that ends at once with the context; events it still holds are lost."""
    with _process(way.python, "alternatives_producer.py", env=env) as (process, log):
        yield Producer(process, log, task)


@contextmanager
def worker(way: Way, env: dict[str, str]) -> Iterator[None]:
    """The Celery worker of this way: one process, which consumes and sends."""
    command = ("-m", "celery", "-A", way.app, "worker", "--pool=solo", "--concurrency=1")
    quiet = ("--without-mingle", "--without-gossip", "--loglevel=WARNING")
    with _process(way.python, *command, *quiet, env=env) as (process, log):
        yield
        if process.poll() is not None:
            raise RuntimeError(f"the worker of {way.title} ended: {_end_of(log)}")


@contextmanager
def _process(
    python: str, *command: str, env: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[str], IO[bytes]]]:
    folders = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [python, *command],
            env={**os.environ, "PYTHONPATH": folders, "NO_PROXY": "127.0.0.1", **env},
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if command[0] != "-m" else log,
            stderr=log,
            text=True,
        )
        try:
            yield process, log
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_of(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - 2_000))
    return log.read().decode(errors="replace")
