"""Dead letters from a file: what was changed, does not fit or is elsewhere is refused, and told."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.command_line import Run
from tools.dead_letters import contents, kill_all
from tools.queue_states import HOLDS_SOMETHING, Queues

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released", "leaving", "arrived")


def edited(line: bytes, **changes: Any) -> bytes:
    """A line with some fields changed."""
    return json.dumps({**json.loads(line), **changes}).encode()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda line: line[:-40], "it is cut off, or no line of an export"),
        (lambda line: b"{}", "it is cut off, or no line of an export"),
        (lambda line: b"\xff\xfe" + line, "it is cut off, or no line of an export"),
        (lambda line: edited(line, raw=["{}"] * 5), "it was changed after it was written"),
        (lambda line: edited(line, reason="other"), "it was changed after it was written"),
        (lambda line: edited(line, queue="other"), "it was changed after it was written"),
        (lambda line: edited(line, raw=[{"base64": "?"}]), "a text cannot be read"),
        (lambda line: edited(line, version=2), "it has version 2 of the format"),
        (lambda line: edited(line, events=-1), "Expected `int` >= 0"),
    ],
)
def test_a_line_that_is_not_whole_is_told(
    queues: Queues, run: Run, tmp_path: Path, change: Callable[[bytes], bytes], why: str
) -> None:
    """A line that was cut off or edited is told by its number; nothing of it, and all else, comes."""
    queue = queues.add()
    queues.fill(queue, 15)
    kill_all(queues, queue)
    file = tmp_path / "dead.jsonl"
    run("dead", "export", "--output", str(file), "--remove")
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([lines[0], b"", change(lines[1]), lines[2]]))

    result = run("dead", "import", str(file))

    assert result.exit_code == 1
    assert "10 events in 2 batches imported" in result.stdout
    assert "line 3 not imported: " in result.stdout
    assert why in result.stdout
    lists = queues.client.keys("*:batch:*")
    assert len(lists) == len(contents(queues, queue)) == 2
    assert queues.view(queue).ledger.balanced


def test_a_compressed_file_is_told_once(queues: Queues, run: Run, tmp_path: Path) -> None:
    """Not as a hundred lines that are cut off."""
    queues.add()
    (tmp_path / "file.gz").write_bytes(gzip.compress(b"x" * 5 + b"\n" * 90_000))

    result = run("dead", "import", str(tmp_path / "file.gz"), "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["refused"] == [
        {"line": 1, "why": "the file is compressed; zcat FILE | vwo-celery dead import -"}
    ]


def test_another_queue_takes_what_does_not_contradict_it(
    queues: Queues, run: Run, tmp_path: Path
) -> None:
    """--queue imports into another queue what may be moved there, and nothing that is elsewhere."""
    queue, other = queues.add(1), queues.add(2)
    event = {"d": {"event": {"props": {"vwoMeta": {"a": 1}}, "name": "shown"}}}
    assert all(queue.enqueue_many([event] * 5))
    queues.fill(queue, 5)
    kill_all(queues, queue)
    file = str(tmp_path / "dead.jsonl")
    run("dead", "export", "--output", file)
    there = run("dead", "import", file, "--queue", other.name)
    run("dead", "purge", "--yes")

    result = run("dead", "import", file, "--queue", other.name)

    assert "vwo-celery move takes it to another" in there.stdout
    assert result.exit_code == 1
    assert "5 events in 1 batch imported" in result.stdout
    assert "carries the account '1' in its bytes" in result.stdout
    assert len(contents(queues, other)) == 1


def test_a_file_is_imported_into_one_queue_only(
    queues: Queues, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was imported into another queue is not imported once more into its own, or into a third.

    Also after it was sent from there; and the first import, run again, finds it where no more fits.
    """
    queue, other, third = queues.add(1), queues.add(2), queues.add(3)
    queues.fill(queue, 5)
    kill_all(queues, queue)
    file = str(tmp_path / "dead.jsonl")
    run("dead", "export", "--output", file, "--remove")
    monkeypatch.setenv("VWO_CELERY_MAX_DEAD_EVENTS", "5")
    first = [run("dead", "import", file, "--queue", other.name) for _ in range(2)]

    there = run("dead", "import", file)
    run("dead", "redrive")
    queues.deliver(other)
    sent = [run("dead", "import", file, *words) for words in ((), ("--queue", third.name))]

    assert [each.exit_code for each in first] == [0, 0]
    assert "5 events in 1 batch there already" in first[1].stdout
    assert [each.exit_code for each in (there, *sent)] == [1, 1, 1]
    assert all(f"is in queue {other.name}, or was" in each.stdout for each in (there, *sent))
    assert not contents(queues, queue)
    assert not contents(queues, third)


def test_no_import_makes_workers_drop_others(
    queues: Queues, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is imported beyond max_dead_events, where workers would drop the oldest dead letters."""
    queue = queues.add()
    queues.fill(queue, 10)
    kill_all(queues, queue)
    file = str(tmp_path / "dead.jsonl")
    run("dead", "export", "--output", file, "--remove")
    monkeypatch.setenv("VWO_CELERY_MAX_DEAD_EVENTS", "7")

    result = run("dead", "import", file, "--json")

    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["imported"] == {"batches": 1, "events": 5}
    assert "beyond max_dead_events (7)" in document["refused"][0]["why"]
    assert document["refused_lines"] == 1
