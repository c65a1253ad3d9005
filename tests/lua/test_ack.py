"""ack.lua: a batch that VWO accepted is forgotten and counted once, whoever acks it."""

from __future__ import annotations

from lua.world import Line, World

META = {"accepted": 5, "events": 5, "bytes": 50, "delivered": 2}
LINE = Line(attempt=1, events=3, bytes=30)


def test_a_leased_batch_is_forgotten_and_counted(world: World) -> None:
    """An acked batch is counted as delivered and leaves Redis; only the counters remain."""
    world.given(
        meta=META,
        leases={"b": world.at(9_000)},
        info={"b": LINE},
        batches={"b": [b"1", b"2", b"3"]},
    )

    acked = world.call(world.shard.ack, "b")

    assert acked is True
    assert world.changes() == {
        "leases": None,
        "info": None,
        "batch:b": None,
        "meta": {"events": 2, "bytes": 20, "delivered": 5, "delivered_ms": world.now()},
    }


def test_others_stay(world: World) -> None:
    """An ack removes only the named batch."""
    world.given(
        meta=META,
        leases={"b": world.at(9_000), "c": world.at(9_000)},
        info={"b": LINE, "c": Line(attempt=1, events=2, bytes=20)},
        batches={"b": [b"1"], "c": [b"2"]},
    )

    world.call(world.shard.ack, "b")

    assert world.changes()["leases"] == {"b": None}
    assert world.changes()["info"] == {"b": None}
    assert "batch:c" in world.dump()


def test_a_second_ack_changes_nothing(world: World) -> None:
    """A second ack, as after a lost answer, counts no event twice."""
    world.given(meta=META, leases={"b": world.at(9_000)}, info={"b": LINE}, batches={"b": [b"1"]})
    world.shard.ack("b")

    acked = world.call(world.shard.ack, "b")

    assert acked is False
    assert world.changes() == {}


def test_a_batch_that_was_given_back_may_be_acked(world: World) -> None:
    """A late ack counts although the lease expired and the batch is ready again."""
    world.given(meta=META, ready={"b": world.at(-1)}, info={"b": LINE}, batches={"b": [b"1"]})

    acked = world.call(world.shard.ack, "b")

    assert acked is True
    assert world.changes() == {
        "ready": None,
        "info": None,
        "batch:b": None,
        "meta": {"events": 2, "bytes": 20, "delivered": 5, "delivered_ms": world.now()},
    }


def test_a_dead_letter_may_be_acked(world: World) -> None:
    """A late ack removes a batch from the dead letters and from their count."""
    meta = {**META, "dead": 3}
    world.given(meta=meta, dead={"b": world.at(-1)}, info={"b": LINE}, batches={"b": [b"1"]})

    acked = world.call(world.shard.ack, "b")

    assert acked is True
    assert world.changes() == {
        "dead": None,
        "info": None,
        "batch:b": None,
        "meta": {"dead": 0, "delivered": 5, "delivered_ms": world.now()},
    }


def test_the_first_delivery_starts_the_count(world: World) -> None:
    """The first ack of a queue creates the counter of delivered events."""
    meta = {"accepted": 3, "events": 3, "bytes": 30}
    world.given(meta=meta, leases={"b": world.at(9_000)}, info={"b": LINE}, batches={"b": [b"1"]})

    world.call(world.shard.ack, "b")

    assert world.changes()["meta"] == {
        "events": 0,
        "bytes": 0,
        "delivered": 3,
        "delivered_ms": world.now(),
    }
