"""An installation whose workers and beat run the deployable app from `workers/`."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path

import vwo_celery
from tools.installation import ACCEPTANCE, Installation
from tools.processes import Process
from vwo_celery.connections import open_client

TESTS = Path(__file__).parents[1]
#: The package under test comes before the checkout, which may hold another.
PYTHON_PATH = os.pathsep.join(
    map(str, (TESTS, ACCEPTANCE, Path(vwo_celery.__file__).parents[1], TESTS.parent))
)
#: Longer than any task of ours runs after it was asked to end.
_STOP_SECONDS = 45.0
_ANSWER_SECONDS = 5.0


class Deployment(Installation):
    """An installation that runs the deployable app; `kill` ends one in an unknown state."""

    def start(self, *arguments: str, name: str, **env: str) -> Process:
        """Start a Celery program of the deployable app."""
        process = Process(
            "python", "-m", "celery", "-A", "chaos.deployed", *arguments,
            folder=self.folder, name=name, cwd=self.folder, stop_timeout_seconds=_STOP_SECONDS,
            env={**self.env, "REPORTS": "", "PYTHONPATH": PYTHON_PATH, **env},
        )  # fmt: skip
        self.started.append(process)
        process.start()
        return process

    def _is_quiet(self) -> bool:
        """Whether no slot is taken and no wake-up waits, in any kind of store."""
        client = open_client(self.redis_url, timeout_seconds=_ANSWER_SECONDS)
        with closing(client):
            return not [*client.scan_iter("*:slots"), *client.scan_iter("*:wakeups")]

    def kill(self) -> None:
        """End everything at once."""
        for process in self.started:
            with suppress(ProcessLookupError):
                process.kill()
