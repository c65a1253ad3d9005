"""Dead letters to a file: what the file holds, and nothing is removed that it does not hold."""

from __future__ import annotations

import json
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tools.command_line import Run
from tools.dead_letters import contents, kill_all
from tools.queue_states import HOLDS_SOMETHING, KEY, Queues
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import find_dead
from vwo_celery.operating.past.audit import Actor, changes

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released", "leaving", "arrived")


def test_the_file_holds_the_batch_and_no_key(queues: Queues, run: Run, tmp_path: Path) -> None:
    """A line has the header and the events as texts; only its owner may read the file."""
    queue = queues.add()
    queues.fill(queue, 5)
    batch = queues.kill(queue, "VWO answered 413")
    file = tmp_path / "dead.jsonl"

    run("dead", "export", "--output", str(file))

    (line,) = map(json.loads, file.read_text().splitlines())
    header = {
        "version": 1, "queue": queue.name, "batch": batch.id, "events": 5, "attempts": 1,
        "reason": "VWO answered 413",
    }  # fmt: skip
    assert {**line, **header} == line
    assert line["raw"] == [f'{{"n":{n}}}' for n in range(5)]
    assert line["destination"]["account_id"] == "1"
    assert KEY not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_in_the_file_is_removed(queues: Queues, run: Run, tmp_path: Path) -> None:
    """--remove drops what is in the file, counted with its reason, and nothing else."""
    queue = queues.add()
    queues.fill(queue, 15)
    queues.kill(queue, "VWO answered 413")
    kept = queues.kill(queue, "VWO answered 400")
    file = str(tmp_path / "dead.jsonl")

    result = run("dead", "export", "--output", file, "--remove", "--filter", "reason:413", "--json")

    view = queues.view(queue)
    assert json.loads(result.stdout)["removed"] == {"batches": 1, "events": 5}
    assert [*contents(queues, queue)] == [kept.id]
    assert view.dropped == {"exported": 5}
    assert view.ledger.balanced
    told = [(each.command, each.filter, each.done) for each in changes(queues.fleet)]
    assert told == [("dead export", "reason:413", 5)]


@contextmanager
def small_files(most_bytes: int) -> Iterator[None]:
    """Let no file grow beyond *most_bytes*, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("most_bytes", [0, 700, 900])
def test_a_full_disk_removes_nothing(
    queues: Queues, run: Run, tmp_path: Path, most_bytes: int
) -> None:
    """Where the disk does not take all, the command says so, keeps no file and removes nothing."""
    queue = queues.add()
    queues.fill(queue, 10)
    kill_all(queues, queue)
    before = contents(queues, queue)
    file = tmp_path / "dead.jsonl"

    with small_files(most_bytes):
        result = run("dead", "export", "--output", str(file), "--remove")

    assert result.exit_code == 1
    assert "'dead.jsonl' cannot be written: File too large" in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert contents(queues, queue) == before


def test_a_file_is_never_replaced(queues: Queues, run: Run, tmp_path: Path) -> None:
    """An export never replaces a file, not even one that a link of that name leads to."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "VWO answered 413")
    file, link = tmp_path / "dead.jsonl", tmp_path / "link"
    file.write_text("precious")
    link.symlink_to(tmp_path / "nowhere")

    results = [run("dead", "export", "--output", str(each), "--remove") for each in (file, link)]

    assert [each.exit_code for each in results] == [1, 1]
    assert file.read_text() == "precious"
    assert link.is_symlink()
    assert len(contents(queues, queue)) == 1


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_name_that_is_none_is_refused(queues: Queues, run: Run, name: str) -> None:
    """As of a shell's variable that is not set."""
    queues.fill(queue := queues.add(), 5)
    kill_all(queues, queue)

    result = run("dead", "export", "--output", name, "--remove")

    assert (result.exit_code, len(contents(queues, queue))) == (1, 1)
    assert "is no name of a file; nothing was written or removed" in result.stderr


def test_what_is_purged_meanwhile_is_neither_written_nor_missed(
    queues: Queues, tmp_path: Path
) -> None:
    """A dead letter that another operator drops while the export goes on is not told as damaged."""
    queues.fill(queue := queues.add(), 15)
    kill_all(queues, queue)
    shard = queues.shard(queue)

    result = operations.export_dead(
        queues.fleet, Actor("ada", "cli", "host"), queues.registered,
        find_dead(queues.fleet, queues.registered, Filter()), tmp_path / "file",
        watch=lambda _: [shard.purge(name) for name in contents(queues, queue)][:0],
    )  # fmt: skip

    assert (result.written.batches, result.left.batches) == (1, 0)
    assert len((tmp_path / "file").read_bytes().splitlines()) == 1


def test_an_export_that_is_stopped_keeps_no_file(queues: Queues, tmp_path: Path) -> None:
    """A brake pulled while the file is written leaves no file, and nothing is removed."""
    queue = queues.add()
    queues.fill(queue, 10)
    kill_all(queues, queue)

    class Pulled:
        def wait(self, timeout: float) -> bool:
            return True

    result = operations.export_dead(
        queues.fleet, Actor("ada", "cli", "host"), queues.registered,
        all_dead(queues), tmp_path / "dead.jsonl", remove=True, brake=Pulled(),
    )  # fmt: skip

    assert result.stopped
    assert list(tmp_path.iterdir()) == []
    assert len(contents(queues, queue)) == 2


def all_dead(queues: Queues) -> Any:
    """All dead letters."""
    return find_dead(queues.fleet, queues.registered, Filter())
