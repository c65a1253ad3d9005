"""Scripts are loaded whenever a server lacks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis as redis_py
from redis.exceptions import NoScriptError

from lua.pushing import next_mark
from lua.world import LEASE_SECONDS, QUEUE, Line, World
from vwo_celery import Settings
from vwo_celery.queue.calls import ack_call
from vwo_celery.queue.handling.picking import pick_out
from vwo_celery.queue.holding.circuit import Circuit
from vwo_celery.queue.holding.evidence import note_passed, suspect
from vwo_celery.queue.scripts import script
from vwo_celery.queue.words.batches import Part, Passed
from vwo_celery.queue.words.marks import Mark
from vwo_celery.testing import RedisServer

NAMES = (
    "enqueue", "append", "limit", "sweep", "unwatch", "claim", "ack", "release", "extend", "dead_letter",
    "redrive", "purge", "snapshot", "split", "hand_back", "permit", "trip", "mend", "note", "free",
    "suspect", "turn", "pulse",
)  # fmt: skip


def circuit_of(world: World) -> Circuit:
    """The circuit of the shard's queue, which opens at the first failure."""
    return Circuit(world.client, QUEUE, Settings(circuit_failures=1), lambda: 1.0)


#: Every script by the method that runs it, except those that store events: producers load those.
METHODS: dict[str, Callable[[World], object]] = {
    "sweep": lambda world: world.sweep(force=True).sealed,
    "turn": lambda world: world.call(world.shard.next_turn)[0],
    "unwatch": lambda world: world.call(world.shard.unwatch),
    "claim": lambda world: world.claim(probe=True) is not None,
    "ack": lambda world: world.call(world.shard.ack, "leased"),
    "release": lambda world: world.call(
        world.shard.release, world.batch("leased"), delay_seconds=0, error="busy"
    ),
    "extend": lambda world: world.call(
        world.shard.extend, world.batch("leased"), lease_seconds=LEASE_SECONDS
    ),
    "dead_letter": lambda world: world.call(
        world.shard.dead_letter, world.batch("leased"), error="too old"
    ),
    "split": lambda world: world.call(
        world.shard.split, world.batch("leased"), [Part("ready", ((0, 1),), 10)]
    ),
    "hand_back": lambda world: world.call(
        world.shard.hand_back, world.batch("leased"), lease_until_ms=world.at(60_000)
    ),
    "permit": lambda world: world.call(circuit_of(world).ask),
    "trip": lambda world: world.call(
        circuit_of(world).note_failure, delivered_ms=0, floor_seconds=None, probe=""
    ),
    "mend": lambda world: world.call(circuit_of(world).end_probe, "probe", answered=True),
    "tell": lambda world: world.call(circuit_of(world).worth_telling) is None,
    "note": lambda world: world.call(note_passed, world.shard, Passed(1, 2, 3)) or True,
    "stop": lambda world: world.call(world.shard.pause, "401") or True,
    "free": lambda world: world.call(world.shard.let_go),
    "suspect": lambda world: world.call(suspect, world.shard, "leased") == 0,
    "set_aside": lambda world: world.call(world.shard.set_aside, "ready", reason="bad"),
    "pick_out": lambda world: world.call(pick_out, world.shard, "dead", [0]).events,
    "redrive": lambda world: world.call(world.shard.redrive, "dead"),
    "purge": lambda world: world.call(world.shard.purge, "dead"),
}


@pytest.fixture
def state(world: World, request: pytest.FixtureRequest) -> World:
    """A shard that gives every script something to do; an empty one for `unwatch`."""
    world.given(
        meta={"watched": 1, "events": 3, "bytes": 30, "accepted": 4, "dead": 1, "held_until": 1},
        leases={"leased": world.at(60_000)},
        dead={"dead": world.at(-1)},
        ready={"ready": world.at(-1)},
        info={name: Line(attempt=1) for name in ("leased", "dead", "ready")},
        batches={name: [b"1"] for name in ("leased", "dead", "ready")},
        open=[b"1"],
    )
    if request.getfixturevalue("name") == "unwatch":
        world.client.delete(*world.client.keys("*"))
    return world


@pytest.mark.parametrize("name", METHODS)
def test_a_server_that_forgot_a_script_is_given_it(state: World, name: str) -> None:
    """After SCRIPT FLUSH every method works at its first call, and runs its script once."""
    METHODS[name](state)
    state.client.script_flush()
    state.client.config_resetstat()

    METHODS[name](state)

    assert state.client.script_exists(script(name).sha) == [True]
    calls = state.client.info("commandstats")["cmdstat_evalsha"]
    assert (calls["calls"], calls["failed_calls"]) == (2, 1)


@pytest.mark.parametrize("name", METHODS)
def test_a_server_that_never_had_a_script_is_given_it(state: World, name: str) -> None:
    """The first call on a new server works, although the server has no scripts."""
    state.client.script_flush()

    answer = METHODS[name](state)

    assert answer
    assert state.client.script_exists(script(name).sha) == [True]


class Forgetful:
    """A server that forgets every script as soon as it is loaded."""

    def __init__(self, client: redis_py.Redis) -> None:
        self._client = client

    def script_load(self, text: str) -> None:
        """Load the script and forget it again."""
        self._client.script_load(text)
        self._client.script_flush()

    def execute_command(self, *words: object) -> object:
        """Run the command as the client does."""
        return self._client.execute_command(*words)


def test_a_script_that_is_forgotten_at_once_runs_all_the_same(world: World) -> None:
    """A script runs at once even if SCRIPT FLUSH or a failover comes between loading and call."""
    world.given(meta={"watched": 1, "accepted": 1}, leases={"b": world.at(60_000)},
                info={"b": Line(attempt=1)}, batches={"b": [b"1"]})  # fmt: skip
    call = ack_call(world.shard.keys, "b", None, {})
    world.client.script_flush()

    answer = script("ack").run(Forgetful(world.client), *call)

    assert answer == 1


def test_the_scripts_that_store_are_loaded_together(world: World) -> None:
    """A producer that meets a server without scripts loads all scripts that store at once."""
    world.given()
    world.client.script_flush()
    with pytest.raises(NoScriptError):
        world.push(Mark("m", 1), b"1")

    world.shard.load_push()

    assert world.push(Mark("m", 1), b"1").code == 1
    assert world.shard.append(next_mark(2), b"2")


@pytest.fixture
def restarting(redis: redis_py.Redis) -> Iterator[RedisServer]:
    """A server of its own that keeps its data over a restart, but not its scripts."""
    with RedisServer(appendonly=True) as server:
        yield server


def test_a_restarted_server_is_given_the_scripts(restarting: RedisServer) -> None:
    """Batches leased before a crash are settled after it, through the same objects."""
    world = World(redis_py.Redis.from_url(restarting.url))
    world.given(meta={"watched": 1})
    world.push(Mark("m", 1), b"1", b"2", b"3")
    batch = world.claim()
    restarting.kill()
    restarting.start()

    assert batch is not None
    assert world.shard.read(batch) == [b"1", b"2", b"3"]
    assert world.shard.ack(batch.id)
    assert world.snapshot().delivered == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_script_is_another_script(name: str) -> None:
    """A script's name in Redis depends on its text: releases do not run each other's scripts."""
    text = script(name).text
    assert "--@include" not in text

    older = text + "-- was here\n"

    assert redis_py.Redis().register_script(older).sha != script(name).sha
    assert redis_py.Redis().register_script(text).sha == script(name).sha


def test_an_older_release_works_beside_ours(world: World) -> None:
    """An older release's scripts work beside ours on the same shard, as during a roll-out."""
    world.given(meta={"watched": 1})
    older = world.client.register_script("-- the release before\n" + script("enqueue").text)
    ours = world.shard.push_command(Mark("ours", 1), [b"1", b"2"], 3)
    theirs = world.shard.push_command(Mark("theirs", 1), [b"3"], 2)

    world.shard.push(ours)
    count = int(theirs[2])
    answer = older(keys=theirs[3 : 3 + count], args=theirs[3 + count :])

    assert answer[:2] == [1, 1]
    batch = world.claim()
    assert batch is not None
    assert world.shard.read(batch) == [b"1", b"2", b"3"]
    assert world.client.script_exists(older.sha, script("enqueue").sha) == [True, True]
