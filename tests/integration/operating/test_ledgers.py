"""The ledger's proof: by the stored batches, at one moment or in slices."""

from __future__ import annotations

import pytest
import redis as redis_py

from lua.world import Line, World
from tools.command_line import run_command
from tools.queue_states import Queues
from tools.redis_commands import commands_sent, reads_batches
from vwo_celery.operating.looks import ledgers


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard of more than four batches is one of many."""
    monkeypatch.setattr(ledgers, "MOST_AT_ONCE", 4)


@pytest.fixture
def world(redis: redis_py.Redis) -> World:
    """A shard with six batches in all states."""
    world = World(redis)
    line = Line(attempt=1, events=2, bytes=20, error="HTTP 503")
    world.given(
        meta={"accepted": 16, "delivered": 3, "events": 11, "bytes": 100, "dead": 2,
              "open_events": 1, "open_bytes": 2},
        open=[b"o"],
        ready={"n": world.at(-9), "m": world.at(-8), "r": world.at(60_000)},
        leases={"l": world.at(60_000), "k": world.at(60_000)},
        dead={"d": world.at(-5)},
        info=dict.fromkeys("nmrlkd", line),
    )  # fmt: skip
    return world


@pytest.mark.usefixtures("few")
@pytest.mark.declared_keys("*")
def test_many_batches_are_read_in_slices(world: World) -> None:
    """A shard of many batches is proved without a command that reads them all, and says so."""
    with commands_sent(world.client, inside_scripts=True) as sent:
        (proof,) = ledgers.prove_shards([world.shard])
        commands = sent()

    assert proof.balanced
    assert not proof.one_moment
    assert (proof.in_flight, proof.dead, proof.accepted) == (4, 2, 16)
    assert [each for each in commands if reads_batches(each)] == []


@pytest.mark.usefixtures("few")
@pytest.mark.declared_keys("*")
@pytest.mark.parametrize("family", ["info", "ready"])
def test_a_loss_is_found_in_slices_too(world: World, family: str) -> None:
    """Events that are counted and stored nowhere are out of balance."""
    key = getattr(world.shard.keys, family)
    if family == "info":
        world.client.hdel(key, "n")
    else:
        world.client.delete(key)
        world.client.hdel(world.shard.keys.info, "n", "m", "r")

    (proof,) = ledgers.prove_shards([world.shard])

    assert not proof.balanced


@pytest.mark.declared_keys("*")
def test_few_batches_are_read_at_one_moment(world: World) -> None:
    """A shard of few batches is read in one transaction."""
    (proof,) = ledgers.prove_shards([world.shard])

    assert (proof.balanced, proof.one_moment) == (True, True)
    assert (proof.pending, proof.released) == (1, 6)


@pytest.mark.usefixtures("few")
@pytest.mark.declared_keys("*")
def test_the_command_says_that_it_is_not_one_moment(queues: Queues) -> None:
    """The table has a note, the JSON document its fields and no others, with the note on stderr."""
    queue = queues.add()
    queues.fill(queue, 30)
    url = queues.settings.redis_url

    table = run_command(["--redis-url", url, "ledger"])
    document = run_command(["--redis-url", url, "ledger", "--json"])

    assert "not one moment" in " ".join(table.stdout.split())
    assert "one_moment" not in document.stdout
    assert "not one moment" in document.stderr
    assert (table.exit_code, document.exit_code) == (0, 0)
