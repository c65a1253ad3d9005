"""Dead letters listed, sent again, put away and dropped, as typed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tools.command_line import Run, document, flat
from tools.queue_states import HOLDS_SOMETHING, KEY, Queues
from vwo_celery.operating import operations
from vwo_celery.operating.past.audit import actor_of_cli

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


def test_dead_list_shows_batch_reason_and_events(queues: Queues, run: Run) -> None:
    """dead list shows what a decision needs; the SDK key that SDKs write into events is masked."""
    queue = queues.add()
    for n in range(5):
        assert queue.enqueue({"n": n, "key": KEY})
    batch = queues.kill(queue, "VWO answered 413: Too large")

    text = run("dead", "list", "--events").stdout
    (shown,) = document(run("dead", "list", "--json", "--events"))

    assert batch.id in text
    assert "VWO answered 413: Too large" in flat(text)
    assert '{"n":0,"key":"…cdef"}' in text
    assert "and 2 further events" in text
    assert "5 events in 1 batch" in text
    assert (shown["queue"], shown["batch"], shown["events"]) == (queue.name, batch.id, 5)
    assert (shown["attempts"], shown["reason"]) == (1, "VWO answered 413: Too large")
    assert shown["first_events"][0] == {"n": 0, "key": "…cdef"}
    assert KEY not in text + str(shown)


def test_a_dead_event_that_is_no_json_can_be_looked_at(queues: Queues, run: Run) -> None:
    """dead list shows an event that is no JSON, which is why another program's event is dead."""
    queue = queues.add()
    queues.client.lpush(queues.shard(queue).keys.open, b"\xff not JSON \x1b[2J")
    run("flush")
    queues.kill(queue, "VWO answered 400")

    text, shape = run("dead", "list", "--events"), run("dead", "list", "--events", "--json")

    assert "not JSON" in text.stdout
    assert "\x1b" not in text.stdout
    assert "not JSON" in document(shape)[0]["first_events"][0]


def test_dead_list_shows_the_newest_and_says_that_there_are_more(queues: Queues, run: Run) -> None:
    """dead list prints only the newest dead letters and says that there are more; its JSON has all."""
    queue = queues.add(events_per_request=1)
    queues.fill(queue, 60)
    for _ in range(60):
        queues.kill(queue, "HTTP 413")

    text, limited = run("dead", "list").stdout, run("dead", "list", "--limit", "2").stdout
    shapes = document(run("dead", "list", "--json"))

    assert "60 events in 60 batches; the newest 50 are listed, see --most" in text
    assert limited.count(queue.name) == 2
    assert len(shapes) == 60


def test_redrive_dry_run_changes_nothing(queues: Queues, run: Run) -> None:
    """redrive --dry-run says what a redrive would do and changes nothing."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")

    result = run("dead", "redrive", "--dry-run")
    purge = run("dead", "purge", "--dry-run", "--json")

    assert "5 events in 1 batch would be redriven" in result.stdout
    assert document(purge) == {"would_be_purged": {"batches": 1, "events": 5}}
    assert queues.view(queue).dead == 5


@pytest.mark.parametrize("command", ["redrive", "purge"])
def test_batches_that_somebody_else_changed_do_not_count(
    queues: Queues, run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """redrive and purge count what they changed, not what was dead when they looked."""
    queue = queues.add()
    queues.fill(queue, 10)
    first, _ = queues.kill(queue, "HTTP 413"), queues.kill(queue, "HTTP 413")
    count = operations.count_dead

    def count_and_lose_one(*arguments: Any) -> Any:
        counted = count(*arguments)
        assert queues.shard(queue).redrive(first.id) == 5
        return counted

    monkeypatch.setattr(operations, "count_dead", count_and_lose_one)

    result = run("dead", command, "--json", *(["--yes"] if command == "purge" else []))

    done = {"redrive": "redriven", "purge": "purged"}[command]
    nothing = {"batches": 0, "events": 0}
    assert document(result) == {
        done: {"batches": 1, "events": 5}, "left": nothing, "stopped": False,
        "not_looked_at": 0,
        "vanished": 0,
    }  # fmt: skip


def test_redrive_by_reason_puts_back_only_those(queues: Queues, run: Run) -> None:
    """redrive by reason puts back only the batches with that reason."""
    queue = queues.add()
    queues.fill(queue, 10)
    queues.kill(queue, "VWO answered 401")
    queues.kill(queue, "VWO answered 413")

    result = run("dead", "redrive", "--reason", "401", "--queue", queue.name, "--json")

    assert document(result)["redriven"] == {"batches": 1, "events": 5}
    assert (queues.view(queue).ready, queues.view(queue).dead) == (5, 5)


def test_a_batch_that_is_not_dead_is_an_error(queues: Queues, run: Run) -> None:
    """The id of a batch that is not dead is an error, and nothing is done for the other ids either."""
    queue = queues.add()
    queues.fill(queue, 5)
    batch = queues.kill(queue, "HTTP 413")

    result = run("dead", "redrive", "--batch", batch.id, "--batch", "nope")

    assert result.exit_code == 1
    assert "has the id nope" in result.stderr
    assert queues.view(queue).dead == 5


def test_dead_add_puts_a_batch_away(queues: Queues, run: Run) -> None:
    """dead add takes a batch that fails again and again out of delivery, with the operator's reason."""
    queue = queues.add()
    queues.fill(queue, 5)
    batch = queues.release(queue, "VWO answered 400")
    assert batch.id in flat(run("status").stdout)
    (listed,) = document(run("queues", "--json"))

    tried = run("dead", "add", "--batch", batch.id, "--dry-run", "--json")
    untouched = queues.view(queue)
    added = run("dead", "add", "--batch", batch.id, "--reason", "malformed", "--json")

    assert listed["failing"] == {
        "batch": batch.id, "state": "released", "events": 5, "attempts": 1,
        "error": "VWO answered 400",
    }  # fmt: skip
    assert document(tried) == {"would_be_added": {"batches": 1, "events": 5}}
    assert (untouched.released, untouched.dead) == (5, 0)
    assert document(added) == {"added": {"batches": 1, "events": 5}}
    view = queues.view(queue)
    assert (view.released, view.dead, view.ledger.balanced) == (0, 5, True)
    (dead,) = document(run("dead", "list", "--json"))
    assert (dead["batch"], dead["reason"]) == (
        batch.id, f"set aside by {actor_of_cli()}: malformed",
    )  # fmt: skip


def test_dead_add_leaves_what_a_worker_holds(queues: Queues, run: Run) -> None:
    """A batch in flight, in another queue, or unknown is left as it is, and the command fails."""
    queue, other = queues.add(1), queues.add(2)
    queues.fill(queue, 5)
    queues.fill(other, 5)
    held, waiting = queues.claim(queue), queues.release(other, "VWO answered 503")

    words = ("dead", "add", "--queue", queue.name)
    result = run(*words, "--batch", held.id, "--batch", waiting.id, "--batch", "nope")

    assert result.exit_code == 1
    assert all(name in flat(result.stderr) for name in (held.id, waiting.id, "nope"))
    assert (queues.view(queue).dead, queues.view(other).dead) == (0, 0)
    assert run("dead", "add").exit_code == 2
    shape = run(*words, "--batch", held.id, "--json")
    assert (shape.exit_code, held.id in flat(shape.stderr)) == (1, True)
    assert json.loads(shape.stdout) == {"added": {"batches": 0, "events": 0}}  # one document


def test_dead_add_says_who_did_it(queues: Queues, run: Run) -> None:
    """Without a reason, dead add still stores who put the batch away."""
    queue = queues.add()
    queues.fill(queue, 5)
    batch = queues.release(queue, "VWO answered 400")

    result = run("dead", "add", "--batch", batch.id)

    assert "5 events in 1 batch added" in result.stdout
    (dead,) = document(run("dead", "list", "--json"))
    assert dead["reason"] == f"set aside by {actor_of_cli()}"


def test_purge_asks_first(queues: Queues, run: Run) -> None:
    """purge asks first: "no" or no answer purges nothing; --yes does not ask."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")

    refused, silent = run("dead", "purge", text="n\n"), run("dead", "purge", "--json")
    still_dead = queues.view(queue).dead
    agreed = run("dead", "purge", text="y\n")

    assert (refused.exit_code, silent.exit_code, agreed.exit_code) == (1, 1, 0)
    assert "Drop 5 events in 1 batch of 1 queue for good?" in refused.stderr
    assert document(silent)["error"]
    assert still_dead == 5
    assert "5 events in 1 batch purged" in agreed.stdout
    assert queues.view(queue).dropped == {"purged": 5}


def test_with_nothing_dead_there_is_nothing_to_do(queues: Queues, run: Run) -> None:
    """With nothing dead, a nightly redrive succeeds, and purge does not ask."""
    queues.add()

    assert "no dead letters" in run("dead", "list").stdout
    assert run("dead", "redrive").exit_code == 0
    assert run("dead", "purge").exit_code == 0
