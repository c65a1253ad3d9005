"""`vwo-celery audit` as typed: what people and programs read of the changes that operators made."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tools.command_line import run_command
from tools.queue_states import HOLDS_SOMETHING, OPERATOR, Queues
from vwo_celery.operating import operations
from vwo_celery.operating.past import audit
from vwo_celery.queue.records.audits import AuditEntry, note_change

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


@pytest.fixture
def run(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command on this test's Redis, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "250")
    return lambda *words: run_command(["--redis-url", redis_url, "audit", *words])


def test_each_change_is_a_line(queues: Queues, run: Any) -> None:
    """A line says when, who, from where, by which door, what, how much of what, and the outcome."""
    queue = queues.add()
    operations.pause(queues.fleet, OPERATOR, queues.registered, "lunch")

    shown = run()

    assert shown.exit_code == 0
    assert re.search(
        rf"\d\d:\d\d:\d\d\S*  alice on ops1 +cli +pause +1 of 1 queue +ok in \S+ s +{queue.name}; lunch",
        shown.stdout,
    )


def test_a_document_has_all_of_a_change(queues: Queues, run: Any) -> None:
    """--json is a list of changes, the oldest first; one that never ended has no number done."""
    queue = queues.add()
    operations.pause(queues.fleet, OPERATOR, queues.registered, "lunch")
    note_change(queues.fleet, AuditEntry("1", "intent", "bob", "h", "celery", "flush", matched=9))

    paused, unfinished = json.loads(run("--json").stdout)

    del paused["at_ms"], paused["change"], paused["duration_seconds"]
    assert paused == {
        "who": "alice", "host": "ops1", "door": "cli", "command": "pause", "filter": "",
        "reason": "lunch", "queues": [queue.name], "more_queues": 0, "matched": 1,
        "unit": "queues", "done": 1, "result": "ok", "error": "", "note": "",
    }  # fmt: skip
    assert (unfinished["result"], unfinished["done"], unfinished["duration_seconds"]) == (
        "unfinished", None, None,
    )  # fmt: skip
    assert re.search(r"\? of 9 events +unfinished", run().stdout)


def test_texts_of_others_are_escaped(queues: Queues, run: Any) -> None:
    """A reason with an escape sequence moves no cursor."""
    queues.add()
    operations.pause(queues.fleet, OPERATOR, queues.registered, "\x1b[2Jgone\nforged")

    assert "\\x1b[2Jgone\\nforged" in run().stdout
    assert json.loads(run("--json").stdout)[0]["reason"] == "\x1b[2Jgone\nforged"


def test_the_list_is_bounded_by_time_and_queue(queues: Queues, run: Any) -> None:
    """--queue shows what concerns it, --since what is so recent; another spelling is wrong usage."""
    first, second = queues.add(1), queues.add(2)
    chosen = {first.name: queues.registered[first.name]}
    two_hours_ago = queues.fleet.now_ms() - 7_200_000
    facts = {"change": "1", "phase": "outcome", "who": "w", "host": "h", "door": "cli"}
    old: Any = {**facts, "command": "purge", "result": "ok", "queues": "[]"}
    queues.client.xadd(queues.fleet.keys.audit, old, id=f"{two_hours_ago}-0")
    operations.pause(queues.fleet, OPERATOR, chosen)

    def commands(*words: str) -> list[str]:
        return [each["command"] for each in json.loads(run("--json", *words).stdout)]

    assert commands() == commands("--since", "3h") == ["purge", "pause"]
    assert commands("--since", "90m") == ["pause"]

    assert len(json.loads(run("--queue", first.name, "--json").stdout)) == 1
    assert json.loads(run("--queue", second.name, "--json").stdout) == []
    assert "nobody has changed anything in that time" in run("--queue", second.name).stdout
    assert run("--since", "0s").stdout.startswith("nobody")
    wrong = run("--since", "yesterday")
    assert wrong.exit_code == 2
    assert "such as 90s, 15m, 2h or 7d" in wrong.stderr


def test_what_happens_is_followed(
    queues: Queues, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--follow tells each change as it begins and as it ends, until Ctrl-C; with --json by lines."""
    queue = queues.add()
    looks = iter(range(10))

    def wait(seconds: float) -> None:
        if next(looks) % 2:
            raise KeyboardInterrupt
        operations.pause(queues.fleet, OPERATOR, queues.registered, "lunch")

    monkeypatch.setattr(audit, "_FOLLOW_SECONDS", 0.0)
    monkeypatch.setattr("time.sleep", wait)
    told = run("--follow", "--since", "1m")
    lines = [json.loads(line) for line in run("--follow", "--json").stdout.splitlines()]

    assert told.exit_code == 0
    begins, ends = told.stdout.splitlines()
    assert begins.endswith(f"alice on ops1 by cli: pause ({queue.name}; lunch) begins")
    assert ends.endswith(f"pause ({queue.name}; lunch) ok, 1 of 1 queue")
    assert [each["result"] for each in lines] == ["unfinished", "ok", "unfinished", "ok"]
