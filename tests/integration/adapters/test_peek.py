"""`vwo-celery peek`: the next events of a queue, without a change."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tools.command_line import run_command
from tools.queue_states import KEY, Queues
from tools.redis_commands import commands_sent

Run = Callable[..., Result]
pytestmark = pytest.mark.declared_keys(
    "open", "ready", "leases", "info", "dead", "batch", "slots", "wakeups", "watched", "births",
    "released",
)  # fmt: skip
#: First words of commands that change nothing.
READS = {
    "TIME",
    "HGET",
    "HGETALL",
    "HMGET",
    "LRANGE",
    "ZRANGE",
    "EXISTS",
    "LLEN",
    "SMEMBERS",
    "ZCARD",
}


@pytest.fixture
def run(redis_url: str) -> Run:
    """`vwo-celery` with this test's Redis."""
    return lambda *words: run_command([*words, "--redis-url", redis_url])


def peeked(run: Run, *words: str) -> list[Any]:
    """The JSON document of a peek."""
    result = run("peek", *words, "--json")
    assert result.exit_code == 0, result.stderr
    return list(json.loads(result.stdout))


def test_peek_shows_the_next_events_of_each_state(queues: Queues, run: Run) -> None:
    """What leaves first comes first: in flight, ready, released, open; dead only if asked for."""
    queue = queues.add(events_per_request=2)
    queues.fill(queue, 9)
    dead = queues.kill(queue, "413")
    released = queues.release(queue, "503")
    held = queues.claim(queue)

    found = peeked(run, queue.name)

    numbers = [(each["state"], each["place"], each["event"]["n"]) for each in found]
    assert numbers == [
        ("in_flight", 1, 4), ("in_flight", 2, 5), ("ready", 1, 6), ("ready", 2, 7),
        ("released", 1, 2), ("released", 2, 3), ("open", 1, 8),
    ]  # fmt: skip
    assert [each["batch"] for each in found if each["state"] == "released"] == [released.id] * 2
    assert {each["batch"] for each in found if each["state"] == "in_flight"} == {held.id}
    (of_dead, second) = peeked(run, queue.name, "--state", "dead")
    assert (of_dead["batch"], of_dead["event"], second["event"]) == (dead.id, {"n": 0}, {"n": 1})
    assert [each["event"]["n"] for each in peeked(run, queue.name, "--most", "3")] == [4, 5, 6]
    two = peeked(run, queue.name, "--state", "open", "--state", "ready")
    assert [each["state"] for each in two] == ["open", "ready", "ready"]


def test_peek_changes_nothing_and_reads_little(queues: Queues, run: Run) -> None:
    """It sends no command that changes anything, and reads no more events than it shows."""
    queue = queues.add(events_per_request=1000)
    queues.fill(queue, 5_500)

    with commands_sent(queues.client) as sent:
        assert len(peeked(run, queue.name, "--most", "4")) == 4
        commands = [each.split() for each in sent()]

    assert {each[0] for each in commands} <= READS
    reads = [each for each in commands if each[0] == "LRANGE"]
    assert sum(int(each[3]) - int(each[2]) + 1 for each in reads) == 4


def test_peek_masks_the_key_and_escapes(queues: Queues, run: Run) -> None:
    """The SDK key is masked, an event's letters cannot move a cursor, and one without JSON is shown."""
    queue = queues.add()
    shard = queues.shard(queue)
    queues.client.lpush(shard.keys.open, f'{{"key":"{KEY}"}}', "no \x1b[2J JSON")

    text, found = run("peek", queue.name).stdout, peeked(run, queue.name)

    assert [each["event"] for each in found] == [{"key": f"…{KEY[-4:]}"}, "no \x1b[2J JSON"]
    assert KEY not in text
    assert "\x1b[2J" not in text
    assert "\\x1b[2J" in text


def test_peek_says_what_there_is_none_of(queues: Queues, run: Run) -> None:
    """An empty queue is no error; an unknown one is, and a state that there is not is wrong usage."""
    queue = queues.add()

    empty, dead = run("peek", queue.name), run("peek", queue.name, "--state", "dead")

    assert (empty.exit_code, "no event is in flight or ready" in empty.stdout) == (0, True)
    assert (dead.exit_code, dead.stdout.strip()) == (0, "no event is dead")
    assert peeked(run, queue.name) == []
    assert run("peek", "nope").exit_code == 1
    assert run("peek", queue.name, "--state", "nope").exit_code == 2
    assert run("peek", queue.name, "--most", "0").exit_code == 2
    assert run("peek").exit_code == 2


def test_peek_sees_all_shards(queues: Queues, run: Run) -> None:
    """Events of every shard of a queue are shown."""
    queue = queues.add(shards=2)
    for number in range(2):
        queues.client.lpush(queues.shard(queue, number).keys.open, f'{{"n":{number}}}')

    found = peeked(run, queue.name)

    assert [(each["shard"], each["event"]["n"]) for each in found] == [(0, 0), (1, 1)]
