"""`vwo-celery move` as typed: where a key may come from, what is asked and printed, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import Result

from tools.queue_states import HOLDS_SOMETHING, KEY, Queues

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released", "leaving", "arrived")
NEW_KEY = "f" * 28 + "9999"
Run = Callable[..., Result]


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    """A file with the new key."""
    file = tmp_path / "key"
    file.write_text(f"{NEW_KEY}\n")
    return str(file)


@pytest.mark.parametrize("source", ["file", "env:NEW_KEY", "-"])
def test_the_key_comes_from_anywhere_but_the_arguments(
    queues: Queues, run: Run, key_file: str, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """A key from a file, the environment or standard input names the same new queue, and is masked."""
    queue = queues.add()
    queues.fill(queue, 7)
    monkeypatch.setenv("NEW_KEY", NEW_KEY)
    words = ("move", "--from", queue.name, "--to-key", key_file if source == "file" else source)

    result = run(*words, "--yes", text=f"{NEW_KEY}\n")

    assert result.exit_code == 0, result.output
    (target,) = queues.registered.keys() - {queue.name}
    assert queues.registered[target].destination.sdk_key == NEW_KEY
    assert "7 events to move: 2 open, 5 ready, 0 released, 0 dead" in result.stdout
    assert f"to    {target}: account 1, key …9999" in result.stdout
    assert f"7 events in 2 batches moved to {target}" in result.stdout
    assert f"application uses it: vwo-celery queues forget {queue.name}" in result.stdout
    assert NEW_KEY not in result.output
    assert KEY not in result.output


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), "say where the events go"),
        (("--to", "other", "--to-account", "2"), "say where the events go"),
        (("--to-key", NEW_KEY), "never the key itself"),
        (("--to-key", "env:NO_SUCH"), "no environment variable 'NO_SUCH' holds a key"),
        (
            ("--to-account", "2", "--filter", "reason:x", "--state", "open"),
            "open events are in none",
        ),
        (("--to-account", "2", "--filter", "nonsense:x"), "unknown word"),
    ],
)
def test_wrong_usage_exits_2(queues: Queues, run: Run, words: tuple[str, ...], error: str) -> None:
    """What cannot be meant is told, and a key that was typed all the same is not shown again."""
    queue = queues.add()

    result = run("move", "--from", queue.name, *words, "--yes")

    assert result.exit_code == 2
    assert error in result.stderr
    assert NEW_KEY not in result.output


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("", 1), ("y\n", 0)])
def test_it_asks_before_it_moves(queues: Queues, run: Run, answer: str, code: int) -> None:
    """Without --yes it asks; without an answer nothing is moved, and no queue registered."""
    queue = queues.add()
    queues.fill(queue, 5)

    result = run("move", "--from", queue.name, "--to-account", "2", text=answer)

    assert result.exit_code == code
    assert "Move 5 events to fme-2-" in result.stderr
    assert len(queues.registered) == (1 if code else 2)
    assert queues.view(queue).ready == (5 if code else 0)


def test_a_dry_run_changes_nothing(queues: Queues, run: Run) -> None:
    """--dry-run prints the plan; --json is one document without a key."""
    queue = queues.add()
    queues.fill(queue, 7)

    shown = run("move", "--from", queue.name, "--to-account", "2", "--dry-run")
    document = json.loads(
        run("move", "--from", queue.name, "--to-account", "2", "--dry-run", "--json").stdout
    )

    assert "registered by this move, with the limits of the old one" in shown.stdout
    assert f"note: {queue.name} is not paused" in shown.stdout
    assert document["dry_run"] is True
    assert document["registered_before"] is False
    assert (document["from"]["sdk_key"], document["to"]["account_id"]) == ("…cdef", "2")
    assert document["counts"] == {
        "open": 2, "ready": 5, "released": 0, "dead": 0, "in_flight": 0,
    }  # fmt: skip
    assert [*queues.registered] == [queue.name]
    assert queues.view(queue).undelivered == 7


def test_what_stays_is_told_and_exits_1(queues: Queues, run: Run, key_file: str) -> None:
    """Events that name the old key stay, with the reason and their batch; the others are moved."""
    queue = queues.add()
    queues.fill(queue, 10)
    queues.claim(queue)
    event = {"d": {"event": {"props": {"vwo_envKey": KEY}, "name": "shown"}}}
    assert all(queue.enqueue_many([event] * 5))

    shown = run("move", "--from", queue.name, "--to-key", key_file, "--yes")
    refused = run("move", "--from", queue.name, "--to-key", key_file, "--yes", "--json")

    assert (shown.exit_code, refused.exit_code) == (1, 1)
    assert "5 events in 1 batch moved" in shown.stdout
    assert "5 events in 1 batch not moved, and as they were: event 1 of 5 carries" in shown.stdout
    assert "5 events are in flight; the same command again moves what comes back" in shown.stdout
    assert "nothing was moved. If the new key replaces" in json.loads(refused.stdout)["error"]
    assert KEY not in shown.output + refused.output


def test_the_result_is_one_document(queues: Queues, run: Run) -> None:
    """--json tells what moved, what was left and why, and what the old queue holds now."""
    queue, other = queues.add(1), queues.add(2)
    queues.fill(queue, 15)
    limits = msgspec.structs.replace(queues.registered[other.name].limits, capacity_events=12)
    queues.shard(other).set_limits(limits)
    queues.claim(queue)

    result = run("move", "--from", queue.name, "--to", other.name, "--yes", "--json")

    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["moved"] == {"batches": 2, "events": 10}
    assert document["left"] == []
    assert document["now"] == {
        "open": 0, "ready": 0, "released": 0, "dead": 0, "in_flight": 5,
    }  # fmt: skip
    assert document["interrupted"] is False


def test_dead_letters_that_were_moved_have_their_next_step(queues: Queues, run: Run) -> None:
    """The command that is printed for them exists, and sends them."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")
    other = queues.add(2)

    result = run("move", "--from", queue.name, "--to", other.name, "--yes")
    redriven = run("dead", "redrive", "--queue", other.name)

    assert f"vwo-celery dead redrive --queue {other.name}" in result.stdout
    assert redriven.exit_code == 0
    assert queues.view(other).ready == 5
