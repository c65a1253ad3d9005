"""Which Celery apps are set up, and what no setting of a project may change in our tasks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from celery import Celery, Task

import vwo_celery
from vwo_celery.celery.options import limits, longest_delivery_seconds, serializer_of
from vwo_celery.celery.worker.tasks import publisher_of
from vwo_celery.errors import SettingsError
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.settings import Settings

PACKAGE_FOLDER = Path(vwo_celery.__file__).parents[1]
TASKS = ("vwo_celery.deliver", "vwo_celery.sweep", "vwo_celery.flush")
#: Settings of a project that would harm our tasks.
HARMFUL = {
    "task_time_limit": 1,
    "task_soft_time_limit": 1,
    "task_default_rate_limit": "1/h",
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_ignore_result": False,
    "task_track_started": True,
    "task_store_errors_even_if_ignored": True,
}
OWN = {
    "acks_late": False,
    "autoretry_for": (),
    "ignore_result": True,
    "rate_limit": None,
    "reject_on_worker_lost": False,
    "serializer": "json",
    "store_errors_even_if_ignored": False,
    "track_started": False,
}


def make_app(**configuration: Any) -> Celery:
    """An app that is set up, with settings of a project."""
    options = {key: configuration.pop(key) for key in ("task_cls",) if key in configuration}
    app = Celery("project", broker="memory://", set_as_current=False, **options)
    app.conf.update(configuration)
    vwo_celery.setup(app, Settings())
    app.finalize()
    return app


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["shop"], "setup takes a Celery app; 'shop' was given"),
        ([Celery("a", set_as_current=False), {"redis_url": "redis://r"}], "of type dict was given"),
    ],
)
def test_something_else_than_an_app_or_settings_is_named(arguments: list[Any], told: str) -> None:
    """The error says what setup takes."""
    with pytest.raises(SettingsError, match=told):
        vwo_celery.setup(*arguments)


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    "configuration",
    [
        HARMFUL,
        {"task_annotations": {"*": {"time_limit": 1, "soft_time_limit": 1, "rate_limit": "1/h",
                                    "acks_late": True, "ignore_result": False,
                                    "serializer": "yaml"}}},
    ],
    ids=["settings", "annotations"],
)  # fmt: skip
def test_settings_for_all_tasks_do_not_reach_ours(name: str, configuration: dict[str, Any]) -> None:
    """No setting and no annotation for all tasks of a project changes an option of ours."""
    task = make_app(**configuration).tasks[name]

    assert {option: getattr(task, option) for option in OWN} == OWN
    assert (task.soft_time_limit, task.time_limit) == limits(Settings())


def test_an_annotation_by_name_holds() -> None:
    """An annotation by a task's name is meant for it, also beside one for all tasks; limits are not."""
    annotations = {
        "*": {"rate_limit": "1/h"},
        "vwo_celery.deliver": {"rate_limit": "5/s", "time_limit": 1},
    }
    app = make_app(task_annotations=annotations)

    assert app.tasks["vwo_celery.deliver"].rate_limit == "5/s"
    assert app.tasks["vwo_celery.deliver"].time_limit == limits(Settings()).hard
    assert app.tasks["vwo_celery.sweep"].rate_limit is None


class ProjectTask(Task):  # type: ignore[type-arg]
    """A task class as projects have, for what is to happen around every task."""

    autoretry_for = (Exception,)
    time_limit = 1

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task in a context of the project's."""
        return ["in the project's context", super().__call__(*args, **kwargs)]


def test_what_a_project_does_around_every_task_holds_for_ours() -> None:
    """Our tasks are also of the project's class, for its application context; options stay ours."""
    task = make_app(task_cls=ProjectTask).tasks["vwo_celery.deliver"]

    assert isinstance(task, ProjectTask)
    assert type(task).__call__ is ProjectTask.__call__
    assert task.autoretry_for == ()
    assert task.time_limit == limits(Settings()).hard


@pytest.mark.parametrize(("request_seconds", "lease_seconds"), [(20.0, 60.0), (120.0, 900.0)])
def test_no_delivery_reaches_a_limit(request_seconds: float, lease_seconds: float) -> None:
    """The limits leave time for the slowest delivery, and for a whole one after the soft limit."""
    settings = Settings(request_timeout_seconds=request_seconds, lease_seconds=lease_seconds)
    slowest = longest_delivery_seconds(settings)

    soft, hard = limits(settings)

    assert slowest >= 2 * request_seconds + lease_seconds
    assert soft > slowest
    assert hard - soft >= slowest


# --- serializers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "own", "chosen"),
    [
        (["json"], "json", "json"),
        (["application/json"], "pickle", "json"),
        (["json", "pickle"], "pickle", "json"),
        (["pickle"], "pickle", "pickle"),
        (["yaml", "pickle"], "pickle", "pickle"),
        (["pickle"], "json", "pickle"),
        (["auth", "pickle"], "auth", "pickle"),  # not installed in this process
    ],
)
def test_our_messages_pass_in_any_app(accepted: list[str], own: str, chosen: str) -> None:
    """Our messages are JSON where the app accepts it, else what it accepts; that is not widened."""
    app = make_app(accept_content=accepted, task_serializer=own)

    assert serializer_of(app) == chosen
    assert app.tasks["vwo_celery.deliver"].serializer == chosen
    assert list(app.conf.accept_content) == accepted


@pytest.mark.filterwarnings("ignore::celery.exceptions.AlwaysEagerIgnored")
def test_a_message_states_its_options() -> None:
    """A wake-up's message carries serializer, limits and namespace, also where tasks run eagerly."""
    app = make_app(accept_content=["pickle"], task_serializer="pickle", task_always_eager=True)
    without_redis = Fleet(redis_py.Redis(port=1), "vwo")
    publisher_of(app, without_redis).publish(Wakeup("fme-1-a", 0, "token"))

    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        message = channel.basic_get("celery")

    assert message.content_type == "application/x-python-serialize"
    assert message.headers["timelimit"] == [*reversed(limits(Settings()))]
    assert message.headers["vwo_namespace"] == "vwo"


# --- which app -----------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], Any]:
    """Run code in a process of its own, in a Django project; return the JSON that it prints last."""
    (tmp_path / "project_settings.py").write_text('INSTALLED_APPS = ["vwo_celery.django"]\n')

    def run_code(code: str, **env: str) -> Any:
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={
                **os.environ,
                "PYTHONPATH": f"{tmp_path}{os.pathsep}{PACKAGE_FOLDER}",
                "DJANGO_SETTINGS_MODULE": "project_settings",
                **env,
            },
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout.splitlines()[-1])

    return run_code


Run = Callable[..., Any]
START = """
    import json
    from celery import Celery
    first = Celery("first", broker="memory://")
    second = Celery("second", broker="memory://")
    {setup}
    def start(app):
        app.loader.import_default_modules()
        app.finalize()
        worker = app.WorkController(pool="solo", without_mingle=True)
        return [
            "Listener" in [type(step).__name__ for step in worker.steps],
            "vwo-celery-sweep" in app.conf.beat_schedule,
        ]
    print(json.dumps([start({order}), start({then})]))
"""
DJANGO = "for app in (first, second): app.autodiscover_tasks()"
INCLUDE = "for app in (first, second): app.conf.include = ['vwo_celery.tasks']"


@pytest.mark.parametrize("setup", [DJANGO, INCLUDE], ids=["django", "include"])
@pytest.mark.parametrize(("order", "then"), [("first", "second"), ("second", "first")])
def test_the_app_that_starts_is_set_up(run: Run, setup: str, order: str, then: str) -> None:
    """Whichever app a worker or beat starts, it has the listener and the beat entry."""
    started = run(START.format(setup=setup, order=order, then=then))

    assert started == [[True, True], [True, True]]


def test_an_app_that_nobody_meant_is_left_alone(run: Run) -> None:
    """Where `setup` was called for one app, another one has no listener, whatever it imports."""
    setup = f"import vwo_celery; vwo_celery.setup(first)\n    {DJANGO}"

    code = START.format(setup=setup, order="second", then="first")

    assert run(code) == [[False, False], [True, True]]


def test_a_worker_of_another_app_says_so(run: Run) -> None:
    """A worker with our tasks, whose app is not the one that was set up, warns at its start."""
    code = """
        import json, logging
        from celery import Celery
        from celery.signals import beat_init, celeryd_after_setup
        import vwo_celery
        lines = []
        class Keep(logging.Handler):
            def emit(self, record): lines.append(record.getMessage())
        logging.getLogger("vwo_celery").addHandler(Keep())
        first, second = (Celery(name, broker="memory://") for name in ("first", "second"))
        vwo_celery.setup(first)
        class Started: app = first
        for Started.app in (first, second):
            celeryd_after_setup.send(sender="worker", instance=Started, conf=None)
            beat_init.send(sender=Started)
        print(json.dumps(lines))
    """

    worker, beat = run(code)

    assert (
        "runs the Celery app 'second', and vwo_celery.setup was called for 'first' only" in worker
    )
    assert beat == worker
