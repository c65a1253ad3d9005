"""The package as pip installs it: the commands in README and the doctor's remedies deliver events."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vwo_celery
from tools.installation import ACCOUNT, KEY, event
from tools.processes import Processes
from tools.waiting import wait_until
from vwo_celery.testing import Standin

PACKAGE = Path(vwo_celery.__file__).parent
README = Path(__file__).parents[2] / "README.md"
#: The entry point of the installed `vwo-celery`.
VWO_CELERY = ("-c", "from vwo_celery.cli import main; main(prog_name='vwo-celery')")
CELERY_COMMAND = re.compile(r"celery -A [\w.]+ (?:worker|beat)")
#: Longest stop in seconds: Celery's prefork needs 30 s more if a task reaches a child as it starts.
STOP_SECONDS = 45.0
START_SECONDS = 30.0

pytestmark = pytest.mark.declared_keys(
    "watched", "slots", "wakeups", "open", "_kombu.*", "*:broker:*"
)


class EmptyFolder:
    """An empty folder, and a Python that finds the package but no checkout."""

    def __init__(self, redis_url: str, standin: Standin, folder: Path) -> None:
        self.folder = folder / "empty"
        self.folder.mkdir()
        packages = folder / "packages"
        packages.mkdir()
        (packages / PACKAGE.name).symlink_to(PACKAGE)
        ours = {name for name in os.environ if name.startswith("VWO_CELERY_")}
        self.env = {
            "PYTHONPATH": str(packages),
            "VWO_CELERY_REDIS_URL": redis_url,
            "VWO_CELERY_ALLOWED_HOSTS": standin.netloc,
        }
        self._programs = Processes(
            folder, env={**dict.fromkeys(ours), **self.env}, cwd=self.folder,
            stop_timeout_seconds=STOP_SECONDS,
        )  # fmt: skip

    def start(self, command: str) -> None:
        """Start a program by the words of its documentation."""
        program, *words = shlex.split(command)
        assert program == "celery"
        self._programs.start("python", "-m", "celery", *words, name=words[-1])

    def vwo_celery(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run an operator's command."""
        return self.python(*VWO_CELERY, *words)

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run this Python in the folder."""
        env = {name: text for name, text in os.environ.items() if "VWO_CELERY" not in name}
        return subprocess.run(
            [sys.executable, *words], cwd=self.folder, env={**env, **self.env},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def remedies(self) -> dict[str, str]:
        """The doctor's remedies, by check."""
        findings: list[dict[str, Any]] = json.loads(self.vwo_celery("doctor", "--json").stdout)
        return {each["check"]: each["remedy"] for each in findings if each["state"] != "ok"}

    def stop(self) -> None:
        """Stop the started programs."""
        self._programs.stop()


@pytest.fixture
def empty_folder(redis_url: str, standin: Standin, tmp_path: Path) -> Iterator[EmptyFolder]:
    """An empty folder with this test's Redis and stand-in."""
    folder = EmptyFolder(redis_url, standin, tmp_path)
    yield folder
    folder.stop()


def only_command(text: str) -> str:
    """The one command for Celery in *text*."""
    (command,) = CELERY_COMMAND.findall(text)
    return str(command)


def test_the_doctor_names_commands_that_deliver(
    empty_folder: EmptyFolder, redis_url: str, standin: Standin
) -> None:
    """The doctor's remedies, typed where only the package is, start a healthy worker and beat."""
    queue = vwo_celery.connect(
        vwo_celery.Destination(
            account_id=ACCOUNT, sdk_key=KEY, generation="legacy", base_url=standin.url
        ),
        batch_event_data={"events_per_request": 100, "request_time_interval": 1},
        strict=True,
        redis_url=redis_url,
    )
    assert queue.enqueue(event("one"))
    listener = only_command(empty_folder.remedies()["listener"])
    ill = empty_folder.vwo_celery("health"), empty_folder.vwo_celery("health", "--beat")

    empty_folder.start(listener)
    # Whether a beat runs is known only once a worker does.
    told = wait_until(lambda: empty_folder.remedies().get("beat"), START_SECONDS, what="its remedy")
    empty_folder.start(only_command(told))

    wait_until(lambda: standin.events, START_SECONDS, what="the event at the stand-in")
    assert [each["u"] for each in standin.events] == ["one"]
    for each in ill:
        assert each.returncode == 1
        assert only_command(each.stdout) in listener + told
    for words in (("health",), ("health", "--beat")):
        wait_until(
            lambda words=words: empty_folder.vwo_celery(*words).returncode == 0,
            START_SECONDS, what=" ".join(words),
        )  # fmt: skip
    assert {"listener", "beat", "broker", "consumers"} & set(empty_folder.remedies()) == set()


def test_readers_of_readme_are_told_the_same(empty_folder: EmptyFolder) -> None:
    """README and the doctor name the same command for users without an app of their own."""
    commands = CELERY_COMMAND.findall(README.read_text("utf-8"))

    assert only_command(empty_folder.remedies()["listener"]) in commands
    assert not [command for command in commands if "workers" in command]


@pytest.mark.skipif(
    os.environ.get("VWO_CELERY_TEST_WHEEL") != "1",
    reason="an editable installation, as of make venv, finds the checkout from everywhere",
)
def test_the_folder_has_no_checkout(empty_folder: EmptyFolder) -> None:
    """The folder has nothing of a checkout; otherwise these tests would prove nothing."""
    found = empty_folder.python("-c", "import vwo_celery, workers")

    assert "No module named 'workers'" in found.stderr
