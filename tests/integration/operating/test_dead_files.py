"""Dead letters to a file and back: nothing lost, nothing doubled, whatever comes between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tools.command_line import Run
from tools.dead_letters import contents, kill_all
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery import Queue
from vwo_celery.queue.handling import moving
from vwo_celery.queue.words.batches import Batch

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released", "leaving", "arrived")
#: Events of other programs: text beyond ASCII, escapes, bytes that are no UTF-8.
STRANGE = [
    '{"n":"ü\\ud83d 😀 \\u2028"}'.encode(), b'{"n":"\xff\xfe"}', b"not JSON \x00\x1b[31m", b'"',
    b"\\", b"",
]  # fmt: skip


def story(queues: Queues, queue: Queue) -> dict[bytes, tuple[bytes, float]]:
    """What is known of each dead letter, but for the time of its sealing: its line, and when it died."""
    keys = queues.shard(queue).keys
    lines = queues.client.hgetall(keys.info)
    died = dict(queues.client.zrange(keys.dead, 0, -1, withscores=True))
    found = {}
    for name, line in lines.items():
        parts = line.split(b":")
        found[name] = (b":".join([*parts[:5], *parts[6:]]), died[name])
    return found


def test_export_purge_import_redrive(queues: Queues, run: Run, tmp_path: Path) -> None:
    """What comes back from a file is byte for byte what was there, with its story, and is sent once."""
    queue = queues.add()
    queues.fill(queue, 10)
    queues.client.lpush(queues.shard(queue).keys.open, *STRANGE)
    queues.shard(queue).sweep(force=True, idle_ms=1)
    kill_all(queues, queue)
    before, known = contents(queues, queue), story(queues, queue)
    file = tmp_path / "dead.jsonl"

    exported = run("dead", "export", "--output", str(file))
    assert run("dead", "purge", "--yes").exit_code == 0
    assert contents(queues, queue) == {}
    imported = run("dead", "import", str(file))

    assert (exported.exit_code, imported.exit_code) == (0, 0), imported.output
    assert f"16 events in 4 batches written to {file}" in exported.stderr
    assert "16 events in 4 batches imported as dead letters" in imported.stdout
    assert contents(queues, queue) == before
    assert story(queues, queue) == known
    assert queues.view(queue).ledger.balanced
    assert run("dead", "redrive").exit_code == 0
    sent: list[bytes] = []
    while isinstance(batch := queues.shard(queue).claim(token="", lease_seconds=60), Batch):
        sent += queues.shard(queue).read(batch)
        assert queues.shard(queue).ack(batch.id)
    assert sorted(sent) == sorted(event for events in before.values() for event in events)
    again = run("dead", "import", str(file))
    assert "0 events in 0 batches imported" in again.stdout
    assert "16 events in 4 batches there already, or imported lately" in again.stdout


def test_it_may_come_and_go_again(queues: Queues, run: Run, tmp_path: Path) -> None:
    """What was imported, exported with --remove or purged may be imported again."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "VWO answered 413")
    before = contents(queues, queue)
    files = [str(tmp_path / name) for name in "ab"]

    for file in files:
        assert run("dead", "export", "--output", file, "--remove").exit_code == 0
        assert contents(queues, queue) == {}
        assert run("dead", "import", file).exit_code == 0
        assert contents(queues, queue) == before
    run("dead", "purge", "--yes")
    twice = [run("dead", "import", file) for file in files]

    assert [each.exit_code for each in twice] == [0, 0]
    assert contents(queues, queue) == before
    assert queues.view(queue).ledger.balanced


def test_a_killed_import_goes_on(
    queues: Queues, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that dies at any step and is run again brings each batch once."""
    queue = queues.add()
    queues.fill(queue, 10)
    kill_all(queues, queue)
    before, file = contents(queues, queue), tmp_path / "dead.jsonl"
    run("dead", "export", "--output", str(file), "--remove")
    for step in ("stage", "arrive_from_file"):
        real = getattr(moving, step)

        def die(*arguments: Any, real: Any = real, **options: Any) -> Any:
            real(*arguments, **options)
            raise ZeroDivisionError

        with monkeypatch.context() as patched:
            patched.setattr(moving, step, die)
            assert isinstance(run("dead", "import", str(file)).exception, ZeroDivisionError)
        assert queues.view(queue).ledger.balanced

    result = run("dead", "import", str(file))

    assert result.exit_code == 0
    assert contents(queues, queue) == before
    assert len(queues.client.keys("*:batch:*")) == 2


def test_an_export_to_standard_output_is_a_stream(queues: Queues, run: Run) -> None:
    """With - the lines alone are on standard output, and import reads them from standard input."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "VWO answered 413")

    exported = run("dead", "export", "--output", "-")
    run("dead", "purge", "--yes")
    imported = run("dead", "import", "-", text=exported.stdout)
    refused = run("dead", "export", "--output", "-", "--remove")

    assert msgspec.json.decode(exported.stdout)["queue"] == queue.name
    assert imported.exit_code == 0
    assert len(contents(queues, queue)) == 1
    assert refused.exit_code == 2
