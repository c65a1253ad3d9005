"""Commands of `vwo-celery` that take requests, on a free port: the relay and the console."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tools.processes import Process

#: Starts the command with more options and variables; the program, and its URL.
Serve = Callable[..., tuple[Process, str]]


@contextmanager
def serving(command: str, folder: Path, redis_url: str, secret: str) -> Iterator[Serve]:
    """Start a command as often as wanted; all end with the block, and have logged no *secret*."""
    started: list[Process] = []
    with ExitStack() as running:

        def serve(*options: str, **env: str) -> tuple[Process, str]:
            process = Process(
                "python", "-m", "vwo_celery", command, "--json", "--listen", "127.0.0.1:0", *options,
                folder=folder, name=f"{command}-{len(started)}",
                env={"VWO_CELERY_REDIS_URL": redis_url, **env}, stop_timeout_seconds=20,
            )  # fmt: skip
            running.enter_context(process)
            started.append(process)
            process.wait_for_log('"url"')
            line = next(line for line in process.log().splitlines() if line.startswith("{"))
            return process, str(json.loads(line)["url"])

        yield serve

    assert [process for process in started if secret in process.log()] == []
