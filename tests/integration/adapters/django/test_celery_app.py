"""The Celery app of a Django project finds tasks and VWO_CELERY itself; no web process loads it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import vwo_celery

PACKAGE_FOLDER = Path(vwo_celery.__file__).parents[1]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], str]:
    """Run code in its own process, in a Django project, and return its output."""
    (tmp_path / "project_settings.py").write_text(
        'INSTALLED_APPS = ["vwo_celery.django"]\nVWO_CELERY = {"sweep_interval_seconds": 16.5, '
        '"redis_url": "redis://localhost:1/0"}\n'
    )

    def run_code(code: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={
                **os.environ,
                "PYTHONPATH": f"{tmp_path}{os.pathsep}{PACKAGE_FOLDER}",
                "DJANGO_SETTINGS_MODULE": "project_settings",
            },
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    return run_code


Run = Callable[[str], str]


def test_a_web_process_does_not_import_celery(run: Run) -> None:
    """A web process that installs the app and uses it in views does not import Celery."""
    code = """
    import sys, django
    django.setup()
    from django.core.checks import run_checks
    from vwo_celery.django import enqueue_on_commit
    run_checks()
    print(sorted({"celery", "kombu", "requests", "click"} & set(sys.modules)))
    """

    assert run(code) == "[]"


AUTODISCOVERY = """
    from celery import Celery
    app = Celery("shop", broker="memory://")
    {setup}
    app.autodiscover_tasks()
    app.loader.import_default_modules()
    app.finalize()
    print(*sorted(name for name in app.tasks if name.startswith("vwo_celery.")))
    print(*app.steps["worker"])
    print(*((name, entry["schedule"]) for name, entry in app.conf.beat_schedule.items()))
    """


def test_autodiscovery_finds_the_tasks_and_sets_the_app_up(run: Run) -> None:
    """INSTALLED_APPS and app.autodiscover_tasks() suffice to find the tasks and apply VWO_CELERY."""
    printed = run(AUTODISCOVERY.format(setup="")).splitlines()

    assert printed == [
        "vwo_celery.deliver vwo_celery.flush vwo_celery.operate vwo_celery.sweep",
        "vwo_celery.celery.worker.listener:Listener",
        "('vwo-celery-sweep', 17)",
    ]


def test_autodiscovery_leaves_an_app_that_is_set_up_as_it_is(run: Run) -> None:
    """Autodiscovery leaves the settings of an earlier `vwo_celery.setup` unchanged."""
    setup = "import vwo_celery; vwo_celery.setup(app, sweep_interval_seconds=3.0)"

    printed = run(AUTODISCOVERY.format(setup=setup)).splitlines()

    assert printed[1:] == ["vwo_celery.celery.worker.listener:Listener", "('vwo-celery-sweep', 10)"]


CELERYS_COMMAND = """
    import sys
    from celery import Celery
    app = Celery("shop", broker="memory://")
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.autodiscover_tasks()
    sys.modules["shop"] = sys.modules["__main__"]
    sys.argv = ["celery", "-A", "shop", {words}]
    from celery.bin.celery import celery
    from vwo_celery.cli.celery_command import vwo  # as the entry point does
    celery.add_command(vwo)
    try:
        celery()
    except SystemExit:
        pass
    """


def test_celery_vwo_has_djangos_settings(run: Run) -> None:
    """`celery -A mysite vwo …` looks where VWO_CELERY says, though nothing has imported the tasks."""
    assert "://localhost:1/0 cannot be used" in run(
        CELERYS_COMMAND.format(words='"vwo", "ledger", "--json"')
    )


def test_celery_inspect_knows_our_commands_in_a_django_project(run: Run) -> None:
    """`celery -A mysite inspect` and `control` know them, as they do with an app that was set up."""
    listed = run(CELERYS_COMMAND.format(words='"inspect", "--list"'))

    assert "vwo_queues" in listed
