"""`celery inspect vwo_…`, `celery control vwo_…` and `celery vwo …`: Celery's own ways to our queues."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import click
import pytest
from celery import Celery
from celery.worker.control import Panel
from click.testing import CliRunner

from tools.command_line import run_command
from tools.queue_states import Queues
from vwo_celery.celery import control
from vwo_celery.celery.setup import setup
from vwo_celery.cli.celery_command import vwo
from vwo_celery.queue.records.audits import read_audit

pytestmark = pytest.mark.declared_keys(
    "watched",
    "batch",
    "open",
    "wakeups",
    "slots",
    "ready",
    "info",
    "audit",
    "births",
    "released",
    "*_kombu.binding_deadlines",
)


class State(NamedTuple):
    """The part of a worker's state that the commands use; also the object of Celery's commands."""

    app: Celery


@pytest.fixture
def worker(queues: Queues) -> State:
    """A worker of an app that is set up for this Redis."""
    app = Celery(broker="memory://", set_as_current=False)
    setup(app, redis_url=queues.settings.redis_url)
    return State(app)


def by_cli(queues: Queues, *words: str) -> Any:
    """The document of the command line."""
    return json.loads(
        run_command([*words, "--json", "--redis-url", queues.settings.redis_url]).stdout
    )


def without_times(document: Any) -> Any:
    """The document without what changes from one moment to the next."""
    if isinstance(document, dict):
        return {name: without_times(each) for name, each in document.items()
                if not name.endswith("_seconds")}  # fmt: skip
    return [without_times(each) for each in document] if isinstance(document, list) else document


def entries(queues: Queues) -> list[tuple[str, str]]:
    """Door and command of each entry in the audit."""
    return [(each.door, each.command) for each in read_audit(queues.fleet)]


def test_all_commands_are_registered() -> None:
    """Celery's command line and workers know them by these names."""
    kinds = {name: info.type for name, info in Panel.meta.items() if name.startswith("vwo_")}

    assert kinds == {
        "vwo_queues": "inspect", "vwo_workers": "inspect", "vwo_doctor": "inspect",
        "vwo_flush": "control", "vwo_pause": "control", "vwo_resume": "control",
    }  # fmt: skip


def test_looks_answer_as_the_command_line_does(queues: Queues, worker: State) -> None:
    """Each answer is plain JSON, and tells what the command line tells."""
    queue = queues.add()
    queues.fill(queue, 7)
    queues.fleet.note_listener("web1:1")

    (view,) = control.vwo_queues(worker)
    workers = control.vwo_workers(worker)
    found = control.vwo_doctor(worker)

    (status,) = by_cli(queues, "status")["queues"]
    assert without_times(json.loads(json.dumps(view))) == without_times(status)
    assert without_times(workers) == without_times(by_cli(queues, "workers"))
    told = {each["check"]: each["state"] for each in by_cli(queues, "doctor")}
    others = {name: each for name, each in told.items() if name in ("listener", "beat", "queues")}
    assert {each["check"]: each["state"] for each in found}.items() >= others.items()
    assert json.loads(json.dumps([view, workers, found]))


def test_changes_are_those_of_the_operations_and_recorded_once(
    queues: Queues, worker: State
) -> None:
    """Every worker gets a command; those that come late find nothing to change, and record nothing."""
    queue = queues.add()
    queues.fill(queue, 7)

    paused = [control.vwo_pause(worker, queue.name, "a deploy") for _ in range(3)]
    resumed = [control.vwo_resume(worker, "all") for _ in range(3)]
    flushed = control.vwo_flush(worker, [queue.name])

    assert paused == [{"paused": [queue.name]}, {"paused": []}, {"paused": []}]
    assert resumed == [{"resumed": [queue.name]}, {"resumed": []}, {"resumed": []}]
    assert [(each["queue"], each["pending"]) for each in flushed] == [(queue.name, 7)]
    assert queues.view(queue).open == 0
    assert {door for door, _ in entries(queues)} == {"celery"}
    told = [command for _, command in entries(queues)]
    assert {name: told.count(name) for name in told} == {"pause": 2, "resume": 2, "flush": 2}


def test_a_wrong_queue_is_an_error_in_words(worker: State) -> None:
    """An answer with an error has the words of the command line."""
    assert "no queue 'none' is registered" in control.vwo_pause(worker, "none")["error"]
    assert "no queue 'none' is registered" in control.vwo_queues(worker, ["none"])["error"]


def test_celerys_command_line_has_ours_with_the_apps_settings(
    queues: Queues, worker: State
) -> None:
    """`celery -A app vwo status` looks where the app's settings say, unless told otherwise."""
    queue = queues.add()

    celery = click.Group("celery", commands=[vwo])

    ran = CliRunner().invoke(celery, ["vwo", "status", "--all", "--json"], obj=worker)
    words = ["vwo", "--namespace", "other", "status", "--all", "--json"]
    other = CliRunner().invoke(celery, words, obj=worker)

    assert [each["queue"] for each in json.loads(ran.stdout)["queues"]] == [queue.name]
    assert json.loads(other.stdout)["queues"] == []


def test_celerys_command_line_asks_the_broker_of_the_app(queues: Queues, worker: State) -> None:
    """`celery -A app vwo doctor` looks at the broker that the app is connected to."""
    celery = click.Group("celery", commands=[vwo])

    ran = CliRunner().invoke(celery, ["vwo", "doctor", "--json"], obj=worker)

    (broker,) = [each["what"] for each in json.loads(ran.stdout) if each["check"] == "broker"]
    assert broker == "memory://localhost// answers"


def test_celerys_command_line_prints_remedies_to_be_typed_there(
    queues: Queues, worker: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command tells to type leads by Celery's command to the app's queues, too."""
    queue = queues.add()
    queues.fill(queue, 1)
    monkeypatch.setattr("sys.argv", ["celery", "-A", "shop", "vwo"])
    celery = click.Group("celery", commands=[vwo])
    CliRunner().invoke(celery, ["vwo", "pause", "--all"], obj=worker)

    said = CliRunner().invoke(celery, ["vwo", "retry", "--all"], obj=worker)

    flat = " ".join(said.stdout.split())
    assert f"to end that: celery -A shop vwo resume --queue {queue.name}" in flat


def test_celerys_command_line_tells_errors_as_json(queues: Queues, worker: State) -> None:
    """`celery -A app vwo … --json` prints an error as one document, and exits 1."""
    celery = click.Group("celery", commands=[vwo])

    ran = CliRunner().invoke(celery, ["vwo", "status", "--queue", "none", "--json"], obj=worker)

    assert ran.exit_code == 1
    assert "no queue 'none' is registered" in json.loads(ran.stdout)["error"]
