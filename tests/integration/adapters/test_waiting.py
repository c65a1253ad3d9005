"""`vwo-celery purge` and `retry`: what waits is dropped, or due at once; and what somebody deleted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

import vwo_celery
from tools.command_line import flat, run_command
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.operating import operations
from vwo_celery.operating.operations import Amount, Chosen, Done
from vwo_celery.operating.past.audit import actor_of_cli, changes
from vwo_celery.queue.words.batches import Batch

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "_kombu.*", "*:broker:*")
Run = Callable[..., Result]


@pytest.fixture
def run(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command on this test's Redis."""
    monkeypatch.setenv("VWO_CELERY_REDIS_URL", redis_url)
    return lambda *words, text=None: run_command(words, text)


def mixed(queues: Queues) -> vwo_celery.Queue:
    """A queue with batches of five ready, in flight, released and dead, and two open events."""
    queue = queues.add()
    queues.fill(queue, 22)
    queues.kill(queue, "HTTP 413")
    queues.claim(queue)
    queues.release(queue, "HTTP 503")
    return queue


def held(queues: Queues, queue: vwo_celery.Queue) -> tuple[int, ...]:
    """Events open, ready, in flight, released, dead and purged."""
    view = queues.view(queue)
    assert view.ledger.balanced
    purged = view.dropped.get("purged", 0)
    return (view.open, view.ready, view.in_flight, view.released, view.dead, purged)


# -- purge


@pytest.mark.parametrize(
    ("states", "left"),
    [
        (("open",), (0, 5, 5, 5, 5, 2)),
        (("ready",), (2, 0, 5, 5, 5, 5)),
        (("released",), (2, 5, 5, 0, 5, 5)),
        (("open", "ready", "released"), (0, 0, 5, 0, 5, 12)),
    ],
)
def test_purge_drops_the_states_that_were_named(
    queues: Queues, run: Run, states: tuple[str, ...], left: tuple[int, ...]
) -> None:
    """Only what was named goes, never what a worker holds or what is dead; the ledger balances."""
    queue = mixed(queues)
    words = [word for state in states for word in ("--state", state)]

    dry = run("purge", "--all", *words, "--dry-run", "--json")
    before = held(queues, queue)
    done = run("purge", "--all", *words, "--yes", "--json")

    dropped = {"batches": sum(s != "open" for s in states), "events": left[-1]}
    assert json.loads(dry.stdout)["would_be_purged"] == dropped
    assert before == (2, 5, 5, 5, 5, 0)
    assert json.loads(done.stdout) == {
        "purged": dropped, "left": {"batches": 0, "events": 0}, "stopped": False, "vanished": 0,
    }  # fmt: skip
    assert held(queues, queue) == left


def test_purge_asks_with_the_count(queues: Queues, run: Run) -> None:
    """Nothing is dropped before somebody has agreed to the number and the queue."""
    queue = mixed(queues)
    words = ("purge", "--queue", queue.name, "--state", "open", "--state", "ready")

    refused = run(*words, text="n\n")
    before = held(queues, queue)
    agreed = run(*words, text="y\n")

    question = f"Drop 2 open events and 5 events in 1 batch of {queue.name} for good?"
    assert question in flat(refused.stderr)
    assert (refused.exit_code, before) == (1, (2, 5, 5, 5, 5, 0))
    assert agreed.exit_code == 0
    assert held(queues, queue) == (0, 0, 5, 5, 5, 7)


def test_what_comes_after_the_count_stays(queues: Queues) -> None:
    """Nobody agreed to drop what was enqueued or sealed after it was counted."""
    queue = queues.add()
    queues.fill(queue, 12)
    chosen = Chosen(queues.registered, ("open", "ready"))
    counted = operations.count_waiting(queues.fleet, chosen)
    moment = queues.fleet.now_ms()
    while queues.fleet.now_ms() == moment:
        pass
    queues.client.lpush(queues.shard(queue).keys.open, b'{"n":12}')
    for batch in queues.client.zrange(queues.shard(queue).keys.ready, 0, 0):
        line = queues.client.hget(queues.shard(queue).keys.info, batch)
        *words, error = line.decode().split(":")
        words[5] = str(queues.fleet.now_ms())
        queues.client.hset(queues.shard(queue).keys.info, batch, ":".join([*words, error]))

    done = operations.purge_waiting(queues.fleet, actor_of_cli(), chosen, counted)

    assert (counted.events, done) == (12, Done(Amount(1, 7)))
    view = queues.view(queue)
    assert (view.open, view.ready, view.dropped) == (1, 5, {"purged": 7})


class Killed(BaseException):
    """The end of a process, at some point."""


def test_a_purge_that_is_killed_at_any_step_goes_on(queues: Queues) -> None:
    """What it had not come to is as it was, the ledger balances, and the same again drops the rest."""
    queue = queues.add()
    queues.fill(queue, 17)
    queues.release(queue, "HTTP 503")
    chosen = Chosen(queues.registered, ("open", "ready", "released"))

    def die(_: Amount) -> None:
        raise Killed

    left = []
    for _ in range(4):
        counted = operations.count_waiting(queues.fleet, chosen)
        left.append(counted.events)
        with pytest.raises(Killed):
            operations.purge_waiting(queues.fleet, actor_of_cli(), chosen, counted, watch=die)
        view = queues.view(queue)
        assert view.ledger.balanced
        assert (view.undelivered + view.dropped["purged"]) == 17

    assert left == [17, 15, 10, 5]
    assert queues.view(queue).undelivered == 0


def test_what_is_released_after_the_count_stays(queues: Queues) -> None:
    """Nobody agreed to drop a batch that was ready, or in flight, when the released ones were counted."""
    queue = queues.add()
    queues.fill(queue, 15)
    queues.release(queue, "HTTP 503")
    chosen = Chosen(queues.registered, ("released",))
    counted = operations.count_waiting(queues.fleet, chosen)
    queues.release(queue, "HTTP 503")

    done = operations.purge_waiting(queues.fleet, actor_of_cli(), chosen, counted)

    view = queues.view(queue)
    assert (counted.events, done) == (5, Done(Amount(1, 5)))
    assert (view.ready, view.released, view.dropped) == (5, 5, {"purged": 5})


def test_purge_of_single_batches(queues: Queues, run: Run) -> None:
    """A named batch goes alone; one that is not there is said, and nothing is dropped."""
    queue = queues.add()
    queues.fill(queue, 10)
    first, _ = (
        batch.decode() for batch in queues.client.zrange(queues.shard(queue).keys.ready, 0, -1)
    )

    wrong = run("purge", "--all", "--state", "ready", "--batch", first, "--batch", "no", "--yes")
    before = queues.view(queue).ready
    right = run("purge", "--all", "--state", "ready", "--batch", first, "--yes")

    assert (wrong.exit_code, before) == (1, 10)
    assert "nothing was changed" in flat(wrong.stderr)
    assert (right.exit_code, queues.view(queue).ready) == (0, 5)


@pytest.mark.parametrize(
    "words",
    [
        ("--state", "ready"), ("--all", "--queue", "q", "--state", "ready"), ("--all",),
        ("--all", "--state", "dead"), ("--all", "--state", "open", "--batch", "b"),
    ],
)  # fmt: skip
def test_wrong_usage_of_purge(run: Run, words: tuple[str, ...]) -> None:
    """What is dropped must be said, and can be."""
    assert run("purge", *words).exit_code == 2


#: `vwo-celery purge` that kills itself before its fourth batch, or its third step at open events.
KILLED = """
import os, signal, sys
from vwo_celery.cli import main
from vwo_celery.queue.handling import waiting

def killing(function, left):
    def call(*arguments, **options):
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

waiting.drop_waiting = killing(waiting.drop_waiting, 3)
main(sys.argv[1:])
"""


def test_a_purge_that_is_killed_is_gone_on_with(queues: Queues, run: Run, redis_url: str) -> None:
    """SIGKILL between two batches, and the same command again: each batch is dropped once."""
    queue = queues.add()
    queues.fill(queue, 42)
    words = ("purge", "--all", "--state", "open", "--state", "ready", "--yes", "--json")
    environment = {**os.environ, "VWO_CELERY_REDIS_URL": redis_url}

    killed = subprocess.run([sys.executable, "-c", KILLED, *words], env=environment, check=False)
    half = held(queues, queue)
    again = run(*words)

    assert killed.returncode == -signal.SIGKILL
    assert half == (0, 25, 0, 0, 0, 17)
    assert json.loads(again.stdout)["purged"] == {"batches": 5, "events": 25}
    assert held(queues, queue) == (0, 0, 0, 0, 0, 42)
    assert [(each.command, each.result) for each in changes(queues.fleet)] == [
        ("purge", "unfinished"), ("purge", "ok"),
    ]  # fmt: skip


# -- retry


def test_retry_makes_released_batches_due_and_wakes_workers(queues: Queues, run: Run) -> None:
    """What VWO did not accept is due at once; a second call finds nothing more."""
    queue = mixed(queues)
    queues.client.delete(queues.fleet.keys.wakeups, queues.shard(queue).keys.slots)

    done, again = run("retry", "--all", "--json"), run("retry", "--queue", queue.name)

    assert json.loads(done.stdout)["made_due"] == {"batches": 1, "events": 5}
    assert "0 events in 0 batches made due" in again.stdout
    assert queues.fleet.next_wakeup(1) is not None
    view = queues.view(queue)
    assert view.next_try_seconds in (0, None)
    assert view.ledger.balanced
    claimed = [queues.shard(queue).claim(token="", lease_seconds=60) for _ in range(2)]
    assert sorted(b.attempt for b in claimed if isinstance(b, Batch)) == [1, 2]


def test_retry_of_single_batches_says_what_waits_for_nothing(queues: Queues, run: Run) -> None:
    """A named batch that waits for no attempt exits 1, and is left alone."""
    queue = queues.add()
    queues.fill(queue, 10)
    released = queues.release(queue, "HTTP 503").id

    wrong = run("retry", "--all", "--batch", "unknown")
    right = run("retry", "--all", "--batch", released)

    assert (wrong.exit_code, right.exit_code) == (1, 0)
    assert "wait for no attempt" in wrong.stdout
    assert "5 events in 1 batch made due" in right.stdout


def test_retry_of_a_stopped_queue_says_that_it_is_not_sent(queues: Queues, run: Run) -> None:
    """A retry does not end a pause, and says so."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.release(queue, "HTTP 503")
    queues.shard(queue).pause("maintenance")

    result = run("retry", "--all")

    assert "vwo-celery resume" in result.stdout
    assert "maintenance" in result.stdout


# -- what somebody deleted


def delete(queues: Queues, queue: vwo_celery.Queue, batch: str) -> None:
    """Delete the events of a batch."""
    assert queues.client.delete(queues.shard(queue).keys.batch(batch)) == 1


@pytest.mark.parametrize(
    ("words", "field"), [("dead redrive", "redriven"), ("dead purge --yes", "purged")]
)
def test_a_dead_letter_whose_events_are_gone_is_said(
    queues: Queues, run: Run, words: str, field: str
) -> None:
    """Its redrive pretends nothing, its purge is no operator's: it has vanished, and is counted so."""
    queue = queues.add()
    queues.fill(queue, 10)
    delete(queues, queue, queues.kill(queue, "HTTP 413").id)
    queues.kill(queue, "HTTP 413")

    result: Any = json.loads(run(*words.split(), "--json").stdout)

    view = queues.view(queue)
    assert view.ledger.balanced
    assert view.dropped["vanished"] == 5
    assert (view.dead, view.dropped.get("purged", 0) + view.ready) == (0, 5)
    if field == "redriven":
        assert (result[field], result["vanished"]) == ({"batches": 1, "events": 5}, 5)
    told = json.loads(run("doctor", "--json").stdout)
    assert any("vanished" in each["what"] for each in told if each["check"] == "dropped")


def test_a_waiting_batch_whose_events_are_gone_is_no_purge(queues: Queues, run: Run) -> None:
    """What somebody deleted counts as vanished, not as purged."""
    queue = queues.add()
    queues.fill(queue, 5)
    (batch,) = queues.client.zrange(queues.shard(queue).keys.ready, 0, -1)
    delete(queues, queue, batch.decode())

    result = run("purge", "--all", "--state", "ready", "--yes", "--json")

    assert json.loads(result.stdout)["vanished"] == 5
    assert queues.view(queue).dropped == {"vanished": 5}
