"""The operator's command as manage.py and call_command offer it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

import vwo_celery
from vwo_celery.django.management.commands.vwo_celery import split_options
from vwo_celery.testing import free_port

EXAMPLE = Path(__file__).parents[4] / "examples" / "django"
PACKAGE_FOLDER = Path(vwo_celery.__file__).parents[1]
Manage = Callable[..., subprocess.CompletedProcess[str]]
Stored = Callable[[], list[str]]


@pytest.fixture
def manage(redis_url: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the example's manage.py, which knows Redis only from its VWO_CELERY."""

    def run_manage(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            env={
                **os.environ,
                "PYTHONPATH": str(PACKAGE_FOLDER),
                "SHOP_REDIS_URL": redis_url,
                "SHOP_DATABASE": str(tmp_path / "shop.sqlite3"),
            },
            cwd=EXAMPLE, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run_manage


def test_manage_py_hands_over_to_the_operators_command(
    manage: Manage, queue: vwo_celery.Queue, stored: Stored
) -> None:
    """manage.py passes words, settings and exit codes on, with Django's own options before them."""
    queue.enqueue({"name": "bought"})

    ledger = manage(
        "vwo_celery", "--settings", "shop.settings", "-v2", "--no-color", "ledger", "--json"
    )
    unknown = manage("vwo_celery", "flush", "--queue", "no-such-queue")
    misused = manage("vwo_celery", "ledger", "--no-such-option")

    (row,) = json.loads(ledger.stdout)
    assert (row["queue"], row["accepted"], row["pending"]) == (queue.name, 1, 1)
    assert (ledger.returncode, unknown.returncode, misused.returncode) == (0, 1, 2)
    assert "Traceback" not in unknown.stderr + misused.stderr
    assert stored() == ["bought"]


def test_manage_py_helps(manage: Manage) -> None:
    """Both of Django's ways to ask for help show the operator's command."""
    asked = [manage("vwo_celery", "--help"), manage("help", "vwo_celery")]

    for answer in asked:
        assert answer.returncode == 0
        assert "manage.py vwo_celery" in answer.stdout
        assert "ledger" in answer.stdout


def test_call_command_runs_it_in_the_process(
    redis_url: str, queue: vwo_celery.Queue, stored: Stored
) -> None:
    """call_command prints to *stdout*; an exit code other than 0 is a CommandError that has it."""
    queue.enqueue({"name": "bought"})
    output = io.StringIO()

    with override_settings(VWO_CELERY={"redis_url": redis_url}):
        call_command("vwo_celery", "ledger", "--json", stdout=output)
        with pytest.raises(CommandError) as refused:
            call_command("vwo_celery", "flush", "--queue", "no-such-queue", stdout=io.StringIO())

    assert [row["queue"] for row in json.loads(output.getvalue())] == [queue.name]
    assert refused.value.returncode == 1
    assert stored() == ["bought"]


@pytest.mark.parametrize(
    ("words", "options", "rest"),
    [
        ([], [], []),
        (["status"], [], ["status"]),
        (["--settings=a.b", "status"], ["--settings"], ["status"]),
        (["--settings", "a.b", "status"], ["--settings"], ["status"]),
        (["-v", "2", "-v3", "--traceback", "dead"], ["-v", "-v3", "--traceback"], ["dead"]),
        (["--json", "--settings", "a.b"], [], ["--json", "--settings", "a.b"]),
        (["status", "-v", "2"], [], ["status", "-v", "2"]),
        (["--help"], [], ["--help"]),
    ],
)  # fmt: skip
def test_djangos_options_stand_first(words: list[str], options: list[str], rest: list[str]) -> None:
    """From the first word that Django does not know, all words go to the operator's command."""
    assert split_options(words) == (options, rest)


def test_what_is_to_be_typed_is_typed_in_django(capsys: pytest.CaptureFixture[str]) -> None:
    """A remedy names the command of Django's, since that one has the project's settings."""
    away = {"redis_url": f"redis://127.0.0.1:{free_port()}"}

    with override_settings(VWO_CELERY=away), pytest.raises(CommandError):
        call_command("vwo_celery", "status")

    assert "; manage.py vwo_celery doctor tells more" in " ".join(capsys.readouterr().err.split())


def test_an_app_by_the_packages_name_is_told() -> None:
    """ "vwo_celery" in INSTALLED_APPS has no checks and no command; Django's check says which has."""
    assert _check_of_apps("vwo_celery") == ["vwo_celery.E007"]
    assert _check_of_apps("vwo_celery.django") == _check_of_apps("vwo_celery", "vwo_celery.django")
    assert _check_of_apps("vwo_celery.django") == []


def _check_of_apps(*names: str) -> list[str]:
    """The ids of the errors that Django's checks find in a project with these apps."""
    program = (
        "import django\nfrom django.conf import settings\nfrom django.core.checks import run_checks\n"
        f"settings.configure(INSTALLED_APPS={list(names)})\ndjango.setup()\n"
        "print(*(each.id for each in run_checks()))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()
