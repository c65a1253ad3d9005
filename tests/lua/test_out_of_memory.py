"""A Redis without free memory stores no event, but still delivers every event that it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis as redis_py
from msgspec.structs import replace
from redis.exceptions import ResponseError

from lua.pushing import given_mark, next_mark
from lua.world import LIMITS, NAMESPACE, QUEUE, Line, World, room_of
from vwo_celery import Settings
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.capacity import FITS, NEVER_FITS, make_room, trim_dead
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling.picking import pick_out
from vwo_celery.queue.holding.circuit import Circuit
from vwo_celery.queue.holding.evidence import note_passed, suspect
from vwo_celery.queue.looks.tallies import read_tallies
from vwo_celery.queue.records.reports import Count, new_report, report
from vwo_celery.queue.words.batches import HELD, Part, Passed, part_id
from vwo_celery.queue.words.marks import Mark, push_token
from vwo_celery.queue.work.awaiting import Awaited
from vwo_celery.testing import RedisServer

#: Small enough that Redis refuses every command that it may refuse for lack of memory.
NO_MEMORY_BYTES = 1


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    """A server whose memory these tests may limit."""
    with RedisServer(maxmemory_bytes=100_000_000) as server:
        yield server


@pytest.fixture
def world(own_server: RedisServer) -> Iterator[World]:
    """A shard on that server, which has memory until `fill`."""
    client: redis_py.Redis = redis_py.Redis.from_url(own_server.url)
    client.config_set("maxmemory", 0)
    client.flushall()
    yield World(client)
    client.close()


def fill(world: World) -> None:
    """Leave the server without memory; a plain push that fails proves it."""
    world.client.config_set("maxmemory", NO_MEMORY_BYTES)
    with pytest.raises(ResponseError, match="maxmemory"):
        world.client.lpush("other", b"1")


def begun(world: World) -> None:
    """A shard with an open list of one event, and one batch each ready, in flight and dead."""
    counts = {
        "accepted": 4,
        "events": 3,
        "bytes": 30,
        "dead": 1,
        "open_events": 1,
        "open_bytes": 10,
        **room_of(1_000, 10_000, accepted=4),
    }
    world.given(
        meta={"watched": 1, **counts, "first_ms": world.at(-1)},
        open=[b"123456789"],
        ready={"ready": world.at(-1)},
        leases={"leased": world.at(60_000)},
        dead={"dead": world.at(-1)},
        info={name: Line(attempt=1) for name in ("ready", "leased", "dead")},
        batches={name: [b"123456789"] for name in ("ready", "leased", "dead")},
        slots={"w": world.at(60_000)},
    )
    fill(world)


@pytest.mark.parametrize(
    "push",
    [
        lambda world: world.push(Mark("m", 1), b"1"),
        lambda world: world.push(Mark("m", 1), *[b"1"] * 7),  # would seal twice
        lambda world: world.push(Mark("m", 1), b"x" * 95),  # would seal first, and then store
        lambda world: world.push(Mark("m", 1), *[b"1"] * 60),  # would be refused at capacity
        lambda world: world.call(world.shard.append, next_mark(1), b"1"),
    ],
    ids=["one", "many", "after a seal", "over capacity", "the short way"],
)
def test_an_event_is_refused_before_anything_is_written(
    world: World, push: Callable[[World], object]
) -> None:
    """A push is refused with an error and leaves no trace: its producer knows that nothing is stored."""
    begun(world)

    with pytest.raises(ResponseError, match="maxmemory"):
        push(world)

    assert world.changes() == {}


def test_a_refused_push_is_stored_once_there_is_memory(world: World) -> None:
    """A refused push is stored once there is memory, since the refusal left no mark."""
    begun(world)
    with pytest.raises(ResponseError, match="maxmemory"):
        world.push(Mark("m", 1), b"1")
    world.client.config_set("maxmemory", 0)

    pushed = world.push(Mark("m", 1), b"1")

    assert pushed.code == 1
    assert world.changes()["open"] == [b"123456789", b"1"]


def test_a_batch_is_claimed(world: World) -> None:
    """A ready batch can be claimed and sent."""
    begun(world)

    batch = world.claim("w")

    assert batch is not None
    assert world.shard.read(batch) == [b"123456789"]


@pytest.mark.parametrize("memory", ["full", "and without its scripts"])
def test_a_batch_is_settled(world: World, memory: str) -> None:
    """Every way of settling works, even if the server must first be given the scripts."""
    begun(world)
    if memory != "full":
        world.client.script_flush()
    batch = world.batch("leased")
    shard = world.shard

    assert shard.extend(batch, lease_seconds=90)
    assert shard.release(batch, delay_seconds=0, error="HTTP 503")
    claims = [world.claim() for _ in range(2)]
    assert {claimed.id for claimed in claims if claimed} == {"ready", "leased"}
    first, second = (claimed for claimed in claims if claimed)
    assert shard.dead_letter(first, error="too old")
    assert shard.ack(second.id)
    assert shard.redrive("dead") == 1
    assert shard.purge(first.id) == 1
    assert world.snapshot().balanced


@pytest.mark.parametrize("drop", ["", "purged"])
def test_events_are_picked_out(world: World, drop: str) -> None:
    """Single dead letters are sent again or dropped: that makes room, or is what an operator can do."""
    begun(world)

    assert pick_out(world.shard, "dead", [0], drop=drop).events == 1
    assert world.snapshot().balanced


@pytest.mark.parametrize("memory", ["full", "and without its scripts"])
def test_a_batch_is_split(world: World, memory: str) -> None:
    """A batch can be split into long parts and single events: a refused event does not block the rest."""
    events = [b"%03d" % i for i in range(500)]
    world.given(
        meta={"accepted": 500, "events": 500, "bytes": 2_000},
        leases={"b": world.at(60_000)},
        info={"b": Line(attempt=1, events=500, bytes=2_000)},
        batches={"b": events},
    )
    fill(world)
    if memory != "full":
        world.client.script_flush()
    parts = [
        Part("dead", ((0, 1), (399, 400)), 8, error="HTTP 400"),
        Part("ready", ((100, 399),), 4 * 299),
        Part("ready", ((400, 500),), 400),
    ]

    assert world.shard.split(world.batch("b"), parts, delivered=99)

    dump = world.dump()
    assert dump[f"batch:{part_id('b', 1)}"] == [events[0], events[399]]
    assert dump[f"batch:{part_id('b', 2)}"] == events[100:399]
    assert dump[f"batch:{part_id('b', 3)}"] == events[400:]
    assert world.snapshot().balanced


def test_a_batch_is_handed_back(world: World) -> None:
    """A batch can be handed back: workers may stop and start."""
    begun(world)
    batch = world.claim("w")
    assert batch is not None

    assert world.shard.hand_back(batch, lease_until_ms=batch.lease_until_ms)

    again = world.claim()
    assert again is not None
    assert (again.id, again.attempt) == (batch.id, batch.attempt)


def test_an_outage_begins(world: World) -> None:
    """Failures are counted, the circuit opens, and the shard is held."""
    begun(world)
    worker = Circuit(world.client, QUEUE, Settings(circuit_failures=2), lambda: 1.0)

    waits = [worker.note_failure(delivered_ms=0, floor_seconds=None, probe="") for _ in range(2)]
    world.shard.hold(world.at(60_000))

    assert waits == [None, 2.0]
    assert worker.ask().answer == "open"
    assert world.ask("w") is None


@pytest.mark.parametrize("answered", [True, False])
def test_an_outage_ends(world: World, answered: bool) -> None:
    """A probe is allowed; without it a full Redis could not empty itself after an outage of VWO."""
    circuit = {"failures": 9, "until_ms": world.at(-1), "openings": 2}
    world.client.hset(world.shard.keys.circuit, mapping=circuit)
    world.client.hset(world.shard.keys.meta, "held_until", world.at(-1))
    begun(world)
    worker = Circuit(world.client, QUEUE, Settings(), lambda: 1.0)

    assert world.ask("w") is HELD
    probe = worker.ask()
    batch = world.claim("w", probe=True)

    assert probe.answer == "probe"
    assert batch is not None
    if answered:
        assert worker.end_probe(probe.token, answered=True)
        assert world.shard.let_go()
        assert world.shard.ack(batch.id)
    else:
        wait = worker.note_failure(delivered_ms=0, floor_seconds=None, probe=probe.token)
        assert wait == 8.0
        assert worker.ask().answer == "open"


def test_what_vwo_refuses_is_noted(world: World) -> None:
    """A refusal is recorded and settled as usual: its small notes are stored even without memory."""
    begun(world)

    note_passed(world.shard, Passed(3, 40, 5, 1))
    first = suspect(world.shard, "leased")
    second = suspect(world.shard, "leased")
    batch = world.claim()
    world.shard.pause("HTTP 401")

    assert (first, second) == (0, pytest.approx(world.at(0), abs=60_000))
    assert 0 < world.client.pttl(world.shard.keys.suspect("leased")) <= 86_400_000
    assert batch is not None
    assert batch.passed == Passed(3, 40, 5, 1)
    assert world.claim() is None


def test_an_open_list_is_sealed_and_woken_for(world: World) -> None:
    """The sweep seals an open list and wakes a worker: the events leave and free memory."""
    begun(world)
    world.client.zrem(world.shard.keys.slots, "w")

    swept = world.sweep(force=True)

    assert (swept.sealed, swept.wakeups) == (1, 1)
    assert world.changes()["open"] is None
    assert world.snapshot().balanced


def test_foreign_events_are_sliced(world: World) -> None:
    """Foreign events are sliced into batches, although that moves them."""
    world.given(limits=replace(LIMITS, batch_bytes=15))
    world.client.lpush(world.shard.keys.open, *[b"123456789"] * 5)
    fill(world)

    swept = world.sweep(force=True)

    assert swept.sealed == 5
    assert world.snapshot().events("ready") == 5
    assert world.snapshot().balanced


def test_an_empty_shard_is_forgotten(world: World) -> None:
    """An empty shard is forgotten: no part of the sweep needs memory."""
    world.given(meta={"watched": 1})
    fill(world)

    assert world.sweep().idle == 1
    assert world.shard.unwatch()


def test_the_ledger_is_the_same_with_and_without_memory(world: World) -> None:
    """A snapshot is the same with and without memory, although it is read in another way."""
    begun(world)
    world.client.config_set("maxmemory", 0)
    expected = world.snapshot()
    fill(world)

    snapshot = world.call(world.snapshot)

    assert replace(snapshot, now_ms=0) == replace(expected, now_ms=0)
    assert snapshot.now_ms == world.now()
    assert snapshot.balanced


def test_a_worker_is_heard(world: World) -> None:
    """A worker that works is not taken for one that is gone; one that is gone is."""
    fleet = Fleet(world.client, NAMESPACE)
    world.client.zadd(fleet.keys.listeners, {"gone:1": 1})
    fill(world)

    forgotten = fleet.note_listener("w:1")

    assert forgotten == 1
    assert fleet.listeners() == ["w:1"]
    assert fleet.last_listened_ms() > 1
    assert world.client.hget(fleet.keys.pulse, "listened")


def test_a_report_waits_for_memory(world: World) -> None:
    """What a process counted is not half told: the same report is counted once there is memory."""
    begun(world)
    told = new_report(0, {"spooled": Count(7, 1.0, 1.0)})

    with pytest.raises(QueueUnavailable, match="out of memory"):
        world.call(report, world.shard, told, now=2.0)

    assert world.changes() == {}
    world.client.config_set("maxmemory", 0)
    assert report(world.shard, told, now=2.0)
    assert read_tallies([world.shard])[0].spooled.events == 7


def test_a_flush_sees_what_was_settled(world: World) -> None:
    """A flush learns how the batches it waits for were settled."""
    begun(world)
    awaited = Awaited(world.shard)

    world.shard.ack("ready")
    world.shard.dead_letter(world.batch("leased"), error="too old")
    awaited.look(search=True)

    assert (awaited.delivered, awaited.dead, awaited.pending, awaited.lost) == (1, 1, 0, 0)


@pytest.mark.parametrize("appended", [0, 1])
@pytest.mark.parametrize(
    ("capacity", "dropped", "fits"),
    [(1, None, NEVER_FITS), (2, 2, FITS), (3, 1, FITS), (9, None, FITS)],
)
def test_room_is_made_all_the_same(
    world: World, capacity: int, dropped: int | None, fits: int, appended: int
) -> None:
    """Room for a push is made completely, whether or not the push then finds memory."""
    begun(world)
    world.client.config_set("maxmemory", 0)
    world.client.hset(world.shard.keys.meta, "capacity_events", capacity)
    if appended:
        given_mark(world, "0")
        assert world.shard.append(next_mark(1), b"appended")
    fill(world)

    room = make_room(world.shard, [b"new"])

    assert room == (0 if dropped is None else dropped + appended, fits)
    assert world.snapshot().balanced


def test_dead_letters_are_trimmed(world: World) -> None:
    """Dead letters are dropped beyond the bound."""
    begun(world)

    assert trim_dead([world.shard], 0) == 1
    assert world.snapshot().balanced


def test_a_pause_ends(world: World) -> None:
    """An operator can resume a queue that was paused before memory ran out."""
    world.given(meta={"paused": "401"})
    fill(world)

    assert world.shard.resume()


def test_all_that_was_stored_before_leaves(world: World) -> None:
    """A full Redis empties itself: everything stored before is delivered and acked."""
    world.given()
    events = [b"%d" % i for i in range(20)]
    world.push(Mark("m", 1), *events)
    fill(world)

    sent: list[bytes] = []
    world.sweep(force=True)
    while batch := world.claim():
        sent += world.shard.read(batch)
        world.shard.ack(batch.id)

    assert sent == events
    assert push_token(Mark("m", 1)) not in world.dump()
    assert world.snapshot().counted_events == 0
