"""stop.lua and free.lua: pauses and holds tell since when, why and by whom, and end without a trace."""

from __future__ import annotations

from lua.world import Line, World


def test_a_pause_tells_who_why_and_since_when(world: World) -> None:
    """A pause is noted with its reason, its cause and its time."""
    world.given()

    world.call(world.shard.pause, "maintenance", by="operator")

    assert world.changes() == {
        "meta": {"paused": "maintenance", "paused_by": "operator", "paused_ms": world.now()}
    }


def test_a_pause_of_another_cause_is_noted_beside_the_first(world: World) -> None:
    """Neither cause hides the other; the same cause again renews its reason, and keeps its time."""
    world.given()
    world.shard.pause("VWO answered 401", by="refusal")
    began = world.client.hget(world.shard.keys.meta, "paused_ms")

    world.call(world.shard.pause, "maintenance", by="operator")
    also = {"paused_also": "maintenance", "paused_also_by": "operator"}
    assert world.changes() == {"meta": {**also, "paused_also_ms": world.now()}}

    world.call(world.shard.pause, "VWO answered 403", by="refusal")

    assert world.changes() == {"meta": {"paused": "VWO answered 403"}}
    assert world.client.hget(world.shard.keys.meta, "paused_ms") == began


def test_a_new_pause_has_nothing_of_one_that_an_older_release_ended(world: World) -> None:
    """An older release ends a pause without its other fields, which tell nothing of the next one."""
    world.given()
    world.shard.pause("VWO answered 401", by="refusal")
    world.shard.pause("maintenance", by="operator")
    world.client.hdel(world.shard.keys.meta, "paused")
    before = world.client.hget(world.shard.keys.meta, "paused_ms")

    world.shard.pause("lunch", by="operator")

    meta = world.client.hgetall(world.shard.keys.meta)
    assert {k.decode() for k in meta if k.startswith(b"paused")} == {
        "paused",
        "paused_by",
        "paused_ms",
    }
    assert int(meta[b"paused_ms"]) >= int(before or 0)


def test_a_hold_that_is_renewed_keeps_its_beginning(world: World) -> None:
    """Each failed probe renews the hold: its reason is the latest, its beginning the first."""
    world.given()
    world.shard.hold(world.at(5_000), by="outage", why="VWO answered 503")
    began = world.client.hget(world.shard.keys.meta, "held_ms")

    world.call(world.shard.hold, world.at(9_000), by="refusal", why="VWO answered 404")

    assert world.changes() == {
        "meta": {
            "held_until": world.at(9_000), "held_by": "refusal", "held_why": "VWO answered 404",
        }
    }  # fmt: skip
    assert world.client.hget(world.shard.keys.meta, "held_ms") == began


def test_a_hold_without_a_cause_keeps_what_is_noted(world: World) -> None:
    """A shard that only learns how long the circuit stays open keeps the reason that it has."""
    world.given()
    world.shard.hold(world.at(5_000), by="refusal", why="VWO answered 404")

    world.call(world.shard.hold, world.at(6_000))

    assert world.changes() == {"meta": {"held_until": world.at(6_000)}}


def test_workers_that_decline_keep_the_reason_of_a_circuit(world: World) -> None:
    """An open circuit outlasts the workers that may not send, so its reason stays; theirs is renewed."""
    world.given()
    world.shard.hold(world.at(4_000), by="workers", why="worker 1 may not")
    world.shard.hold(world.at(5_000), by="workers", why="worker 2 may not")
    state = world.client.hmget(world.shard.keys.meta, "held_by", "held_why")
    world.shard.hold(world.at(5_000), by="refusal", why="VWO answered 404")

    world.call(world.shard.hold, world.at(6_000), by="workers", why="worker 1 may not")

    assert state == [b"workers", b"worker 2 may not"]
    assert world.changes() == {"meta": {"held_until": world.at(6_000)}}


def test_a_new_hold_begins_anew(world: World) -> None:
    """After a hold has ended, the next one has its own beginning and no old reason."""
    world.given()
    world.shard.hold(world.at(5_000), by="refusal", why="VWO answered 404")
    world.shard.let_go()

    world.call(world.shard.hold, world.at(9_000))

    assert world.changes() == {"meta": {"held_until": world.at(9_000), "held_ms": world.now()}}


def test_an_end_leaves_nothing_but_its_time(world: World) -> None:
    """What was noted of a pause or a hold goes with it."""
    world.given()
    world.shard.pause("maintenance")
    world.shard.hold(world.at(5_000), by="refusal", why="VWO answered 404")

    assert world.shard.resume()
    assert world.shard.let_go()

    left = {field.decode() for field in world.client.hgetall(world.shard.keys.meta)}
    assert not {field for field in left if field.startswith(("paused", "held"))}
    assert "free_since_ms" in left
    assert not world.shard.resume()
    assert not world.shard.let_go()


def test_released_batches_are_due_once_an_operator_resumes(world: World) -> None:
    """A resume ends the delays of released batches; a hold that ends by itself leaves them."""
    world.given(ready={"b": world.at(3_600_000)}, info={"b": Line(attempt=1)})
    world.shard.hold(world.at(5_000), by="refusal", why="VWO answered 404")
    world.shard.let_go()
    assert world.client.zscore(world.shard.keys.ready, "b") == world.at(3_600_000)
    world.shard.hold(world.at(5_000), by="refusal", why="VWO answered 404")

    world.call(world.shard.let_go, hasten=True)

    assert world.changes()["ready"] == {"b": world.now()}
