"""Each change through each door: the same result, and exactly one pair of entries in the audit."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.management.base import CommandError

from tools.command_line import run_celery_vwo, run_command
from tools.queue_states import HOLDS_SOMETHING, OPERATOR, Queues
from vwo_celery.django.management.commands.vwo_celery import Command
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.operations.jobs import order_job
from vwo_celery.operating.past.audit import changes
from vwo_celery.queue.records.audits import read_audit
from vwo_celery.queue.records.shadows import NOTHING, RowName, Told, add_counts

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "leaving", "arrived", "former")


def told(text: str) -> Any:
    """The document, without random names and times."""
    document = json.loads(text)
    for each in document if isinstance(document, list) else [document]:
        for name in ("rest", "job", "ordered_ms", "heard_ms"):
            each.pop(name, None)
    return document


def by_command_line(words: Sequence[str]) -> Any:
    """The document of `vwo-celery`."""
    return told(run_command(words).stdout)


def by_django(words: Sequence[str]) -> Any:
    """The document of `manage.py vwo_celery`."""
    out = StringIO()
    with suppress(CommandError):  # its exit code, 1 for a flush that nobody will serve
        Command(stdout=out, no_color=True).handle(words=words)
    return told(out.getvalue())


def by_celery(words: Sequence[str]) -> Any:
    """The document of `celery vwo`."""
    return told(run_celery_vwo(words).stdout)


DOORS = {"cli": by_command_line, "django": by_django, "celery": by_celery}


Given = Callable[[Queues, Path], list[str]]


def five_ready(queues: Queues, folder: Path) -> list[str]:
    """A queue with a batch of five."""
    queues.fill(queues.add(), 5)
    return []


def paused(queues: Queues, folder: Path) -> list[str]:
    """A queue that is paused."""
    queues.shard(queues.add()).pause("HTTP 401", by="refusal")
    return []


def one_released(queues: Queues, folder: Path) -> list[str]:
    """A queue whose only batch VWO did not accept yet."""
    queue = queues.add()
    queues.fill(queue, 5)
    return ["--batch", queues.release(queue, "HTTP 503").id]


def one_released_of_all(queues: Queues, folder: Path) -> list[str]:
    """The same, and no batch is named."""
    one_released(queues, folder)
    return []


def one_dead(queues: Queues, folder: Path) -> list[str]:
    """A queue whose only batch is dead."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")
    return []


def one_dead_by_name(queues: Queues, folder: Path) -> list[str]:
    """A queue whose only batch is dead, and is named."""
    queue = queues.add()
    queues.fill(queue, 5)
    return ["--batch", queues.kill(queue, "HTTP 413").id]


def one_dead_for_a_file(queues: Queues, folder: Path) -> list[str]:
    """A queue whose only batch is dead, and a new file."""
    one_dead(queues, folder)
    (folder / "dead.jsonl").unlink(missing_ok=True)
    return ["--output", str(folder / "dead.jsonl")]


def one_in_a_file(queues: Queues, folder: Path) -> list[str]:
    """A queue whose only dead batch is in a file, and nowhere else."""
    words = one_dead_for_a_file(queues, folder)
    by_command_line(["dead", "export", "--remove", "--json", *words])
    queues.client.delete(queues.fleet.keys.audit)
    return words[1:]


def two_queues(queues: Queues, folder: Path) -> list[str]:
    """A queue with a batch of five, and another one."""
    first, second = queues.add(1), queues.add(2)
    queues.fill(first, 5)
    return ["--from", first.name, "--to", second.name]


def one_empty(queues: Queues, folder: Path) -> list[str]:
    """A queue that holds nothing."""
    return [queues.add().name]


def one_job(queues: Queues, folder: Path) -> list[str]:
    """A job that waits."""
    counted = operations.Counted(operations.Amount(), 0)
    return [
        "--stop",
        order_job(
            queues.fleet, OPERATOR, "purge", counted, filter=Filter(), scan_limit=1,
            pace=operations.Pace(),
        ),
    ]  # fmt: skip


def one_shadow(queues: Queues, folder: Path) -> list[str]:
    """A shadowed SDK that has told its counts."""
    row = RowName("fme-1-test", "purchase", "")
    add_counts(queues.fleet, Told("p", "web-1", 1, 0, 0, "runs", {row: NOTHING}))
    return []


class Case(NamedTuple):
    """A change: its words, the state before it, and what the audit tells of it."""

    words: str
    given: Given
    command: str
    matched: int | None
    done: int
    operation: str
    unit: str = "events"


CASES = (
    Case("pause --all --reason lunch", five_ready, "pause", 1, 1, "pause", "queues"),
    Case("resume --all", paused, "resume", 1, 1, "resume", "queues"),
    Case("flush", five_ready, "flush", 5, 5, "flush"),
    Case("dead add", one_released, "dead add", 5, 5, "add_dead"),
    Case("dead redrive", one_dead, "dead redrive", 5, 5, "redrive"),
    Case("dead purge --yes", one_dead, "dead purge", 5, 5, "purge"),
    Case(
        "dead redrive --event 2",
        one_dead_by_name,
        "dead redrive --event 2",
        1,
        1,
        "pick_out",
    ),
    Case("dead export", one_dead_for_a_file, "dead export", None, 0, "export_dead"),
    Case("dead import", one_in_a_file, "dead import", None, 5, "import_dead"),
    Case("move --yes", two_queues, "move", 5, 5, "move"),
    Case("queues forget --yes", one_empty, "queues forget", 1, 1, "forget", "queues"),
    Case("purge --all --state ready --yes", five_ready, "purge", 5, 5, "purge_waiting"),
    Case("retry --all", one_released_of_all, "retry", None, 5, "retry_released"),
    Case("jobs", one_job, "jobs stop", None, 0, "stop_job"),
    Case("spool drain --timeout 1", five_ready, "spool drain", 0, 0, "drain_spool"),
    Case(
        "shadow-report --reset", one_shadow, "shadow-report --reset", None, 0, "reset_shadow", "queues",
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.operation)
def test_each_door_gives_the_same_result_and_one_record(
    queues: Queues, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    """Whichever way an operator comes in, a change gives one document, and two entries of one id."""
    monkeypatch.setenv("VWO_CELERY_REDIS_URL", redis_url)
    monkeypatch.setenv("VWO_CELERY_SPOOL_DIR", str(tmp_path / "spool"))
    folder = tmp_path / "files"
    folder.mkdir()
    documents = []
    for door, run in DOORS.items():
        queues.client.flushdb()
        words = [*case.words.split(), *case.given(queues, folder), "--json"]

        documents.append(run(words))

        before, after = read_audit(queues.fleet)
        (change,) = changes(queues.fleet)
        assert before.change == after.change
        assert (change.door, change.command, change.result) == (door, case.command, "ok")
        assert (change.matched, change.done, change.unit) == (case.matched, case.done, case.unit)
    assert documents[0] == documents[1] == documents[2]


def test_every_operation_is_tried() -> None:
    """A new change is tried through each door, too."""
    functions = {
        name
        for name in operations.__all__
        if inspect.isfunction(found := getattr(operations, name))
        and "actor" in inspect.signature(found).parameters
    }

    assert functions == {case.operation for case in CASES}


def test_what_changes_nothing_leaves_no_record(
    queues: Queues, redis_url: str, tmp_path: Path
) -> None:
    """A dry run, a look and a refused question are no changes."""
    one_dead(queues, tmp_path)
    before = ("--redis-url", redis_url)

    for words in ("dead redrive --dry-run", "dead purge --dry-run", "status", "dead list"):
        assert run_command([*before, *words.split()]).exit_code == 0
    assert run_command([*before, "dead", "purge"], "n\n").exit_code == 1

    assert changes(queues.fleet) == []
