"""vwo_celery in Django: system checks, events that wait for a commit, tasks, manage.py."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from django.conf import settings as django_settings
from django.core.checks import Error, run_checks
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.test import override_settings

import vwo_celery
from tools.django_project import project
from vwo_celery.django import enqueue_on_commit
from vwo_celery.django.checks import check_settings
from vwo_celery.django.management.commands.vwo_celery import split_options
from vwo_celery.producing.queue import producer_of
from vwo_celery.settings import Settings
from vwo_celery.settings.sources import environment_variable
from vwo_celery.testing import free_port

EXAMPLE = Path(__file__).parents[3] / "examples" / "django"
PACKAGE_FOLDER = Path(vwo_celery.__file__).parents[1]
DESTINATION = vwo_celery.Destination(account_id=888888, sdk_key="b" * 32, generation="fme")
#: Generous, since a test must not fail because the machine is busy.
PATIENTLY = {"enqueue_timeout_seconds": 10.0}


@pytest.fixture(scope="module", autouse=True)
def _project() -> Iterator[None]:
    """A configured Django with two databases, invisible to the tests of other modules."""
    with project():
        yield


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of ours before a test, and no open database connection after it."""
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(environment_variable(name), raising=False)
    yield
    connections.close_all()


# --- system checks -------------------------------------------------------------------------------


def errors_of(options: Any) -> list[Error]:
    """The errors of the system checks for one VWO_CELERY."""
    with override_settings(VWO_CELERY=options):
        return check_settings()


def test_without_vwo_celery_nothing_is_wrong() -> None:
    """VWO_CELERY may be missing, None or empty, since every setting has a default."""
    assert not hasattr(django_settings, "VWO_CELERY")

    assert check_settings() == []
    assert errors_of(None) == []
    assert errors_of({}) == []


def test_right_settings_pass() -> None:
    """Right settings pass: names in lower or upper case, values in range, None for the default."""
    options = {"redis_url": "redis://h/1", "LEASE_SECONDS": 90, "shards": None}

    assert errors_of(options) == []


@pytest.mark.parametrize(
    ("options", "number", "named"),
    [
        (["redis_url"], "E001", ["VWO_CELERY", "list"]),
        ("redis://:hunter2@h", "E001", ["VWO_CELERY", "str"]),
        ({"redis_ulr": "redis://h"}, "E002", ["redis_ulr", "did you mean 'redis_url'"]),
        ({7: 7}, "E002", ["7"]),
        ({"shards": 2, "SHARDS": 3}, "E002", ["shards", "twice"]),
        ({"shards": 65}, "E003", ["shards", "from 1 to 64", "65"]),
        ({"shards": "2"}, "E003", ["shards", "'2'"]),
        ({"redis_url": "http://:hunter2@h"}, "E003", ["redis_url", "redis://", "http://"]),
        ({"when_full": "explode"}, "E003", ["when_full", "drop_newest", "explode"]),
        ({"lease_seconds": 10}, "E004", ["lease_seconds", "request_timeout_seconds", "10"]),
    ],
)
def test_a_mistake_is_one_error(options: Any, number: str, named: list[str]) -> None:
    """A mistake is one error with setting, range, given value and remedy, without a password."""
    (error,) = errors_of(options)

    assert error.id == f"vwo_celery.{number}"
    assert all(word in error.msg for word in named), error.msg
    assert error.hint
    assert "hunter2" not in f"{error.msg}{error.hint}"


def test_each_mistake_has_an_error_of_its_own() -> None:
    """Each mistake has its own error: one run of the checks finds them all."""
    errors = errors_of({"shards": 0, "no_such": 1, "LEASE_SECONDS": "long", "namespace": "fine"})

    assert [error.id for error in errors] == [f"vwo_celery.E00{n}" for n in (3, 2, 3)]


def test_variables_are_checked_unless_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong VWO_CELERY_… variable is an error that names it, unless VWO_CELERY overrides it."""
    monkeypatch.setenv("VWO_CELERY_SHARDS", "many")

    (error,) = errors_of({})

    assert error.id == "vwo_celery.E003"
    assert "VWO_CELERY_SHARDS" in error.msg
    assert errors_of({"SHARDS": 4}) == []
    assert errors_of({"shards": None}) != []


def test_the_app_registers_the_checks() -> None:
    """The app registers its checks with Django, as for `manage.py check`."""
    with override_settings(VWO_CELERY={"shards": 0}):
        found = [message.id for message in run_checks()]

    assert "vwo_celery.E003" in found


# --- on commit -----------------------------------------------------------------------------------

Connect = Callable[..., vwo_celery.Queue]


@pytest.fixture
def connect(redis_url: str) -> Connect:
    """Open a queue with optional settings."""

    def open_queue(**settings: Any) -> vwo_celery.Queue:
        settings = {"redis_url": redis_url, **PATIENTLY, **settings}
        return vwo_celery.connect(DESTINATION, batch_event_data={}, **settings)

    return open_queue


@pytest.fixture
def queue(redis_url: str) -> vwo_celery.Queue:
    """A queue whose batches do not get full."""
    return vwo_celery.connect(
        DESTINATION,
        batch_event_data={"events_per_request": 1000},
        redis_url=redis_url,
        **PATIENTLY,  # type: ignore[arg-type]
    )


@pytest.fixture
def stored(
    redis: redis_py.Redis, queue: vwo_celery.Queue, declared_keys: Any
) -> Callable[[], list[str]]:
    """The names of the events in the queue, oldest first."""
    declared_keys("open", "watched")

    def names() -> list[str]:
        texts: Any = redis.lrange(producer_of(queue).shards[0].keys.open, 0, -1)
        return [json.loads(text)["name"] for text in reversed(texts)]

    return names


Stored = Callable[[], list[str]]


def test_an_event_waits_for_the_commit(queue: vwo_celery.Queue, stored: Stored) -> None:
    """An event is not in Redis before the transaction commits, and is there afterwards."""
    with transaction.atomic():
        enqueue_on_commit(queue, {"name": "bought"})
        before = stored()

    assert before == []
    assert stored() == ["bought"]


def _roll_back(queue: vwo_celery.Queue, name: str) -> None:
    with transaction.atomic():
        enqueue_on_commit(queue, {"name": name})
        raise KeyError


def test_an_event_of_a_rollback_is_never_enqueued(queue: vwo_celery.Queue, stored: Stored) -> None:
    """An event of a transaction or a savepoint that is rolled back is never enqueued."""
    with transaction.atomic():
        enqueue_on_commit(queue, {"name": "kept"})
        with pytest.raises(KeyError):
            _roll_back(queue, "of the savepoint")
    with pytest.raises(KeyError):
        _roll_back(queue, "of the transaction")

    assert stored() == ["kept"]
    assert queue.dropped == {}


def test_without_transaction_it_is_enqueued_at_once(
    queue: vwo_celery.Queue, stored: Stored
) -> None:
    """Without a transaction the event is enqueued at once, whether or not the database can be reached."""
    enqueue_on_commit(queue, {"name": "unconnected"})
    unconnected = connections["default"].connection is None
    connections["default"].ensure_connection()
    enqueue_on_commit(queue, {"name": "connected"})

    assert unconnected
    assert stored() == ["unconnected", "connected"]


def test_it_waits_for_the_database_it_is_told(queue: vwo_celery.Queue, stored: Stored) -> None:
    """An event waits for the commit of the database named by *using*."""
    with transaction.atomic(using="other"):
        enqueue_on_commit(queue, {"name": "of other"}, using="other")
        with transaction.atomic():
            enqueue_on_commit(queue, {"name": "of default"})
        before = stored()

    assert before == ["of default"]
    assert stored() == ["of default", "of other"]


def test_the_event_is_what_it_was_at_the_call(queue: vwo_celery.Queue, stored: Stored) -> None:
    """Changes of the event object between the call and the commit have no effect."""
    event = {"name": "as it was"}

    with transaction.atomic():
        enqueue_on_commit(queue, event)
        event["name"] = "as it became"

    assert stored() == ["as it was"]


def test_an_event_without_json_form_is_dropped(queue: vwo_celery.Queue, stored: Stored) -> None:
    """An event without a JSON form is counted as dropped, not raised; the transaction commits."""
    with transaction.atomic():
        enqueue_on_commit(queue, {"name": float("nan")})
        enqueue_on_commit(queue, {"name": "fine"})

    assert queue.dropped == {"not_json": 1}
    assert stored() == ["fine"]


@pytest.mark.declared_keys("ready", "info", "batch", "wakeups", "watched", "slots")
def test_a_full_queue_raises_nothing_after_the_commit(connect: Connect) -> None:
    """After the commit a full queue raises nothing, even with when_full="raise": the order is
    committed already.
    """
    queue = connect(when_full="raise", max_queue_events=1)

    with transaction.atomic():
        for _ in range(3):
            enqueue_on_commit(queue, {"name": "bought"})

    assert queue.dropped == {"queue_full": 2}


def test_redis_away_raises_nothing_after_the_commit(connect: Connect) -> None:
    """Without Redis and spool, the event is counted as dropped after the commit; nothing is raised."""
    queue = connect(redis_url=f"redis://127.0.0.1:{free_port()}/0", spool_dir="")

    with transaction.atomic():
        enqueue_on_commit(queue, {"name": "bought"})

    assert queue.dropped == {"redis_unavailable": 1}


@pytest.mark.parametrize("connected", [False, True])
def test_whatever_enqueue_raises_stays_here(
    queue: vwo_celery.Queue, stored: Stored, monkeypatch: pytest.MonkeyPatch, connected: bool
) -> None:
    """An unexpected error of `enqueue` loses the event, not the request or other commit callbacks."""
    if connected:
        connections["default"].ensure_connection()
    done: list[str] = []

    def fail(_event: Any) -> None:
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr(queue, "enqueue", fail)
        enqueue_on_commit(queue, {"name": "at once"})
        with transaction.atomic():
            enqueue_on_commit(queue, {"name": "on commit"})
            transaction.on_commit(lambda: done.append("the next"))

    assert done == ["the next"]
    assert stored() == []
    assert queue.dropped == {"enqueue_failed": 2}


def test_without_a_commit_to_wait_for_it_is_dropped(
    queue: vwo_celery.Queue, stored: Stored
) -> None:
    """If Django announces no commit (manual transactions, an unknown alias), the event is dropped."""
    transaction.set_autocommit(False)
    enqueue_on_commit(queue, {"name": "manual"})
    transaction.set_autocommit(True)
    enqueue_on_commit(queue, {"name": "unknown"}, using="no such alias")

    assert stored() == []
    assert queue.dropped == {"no_commit": 2}


# --- tasks ---------------------------------------------------------------------------------------


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


# --- manage.py -----------------------------------------------------------------------------------


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


Manage = Callable[..., subprocess.CompletedProcess[str]]


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
