"""What a move of a batch asks of its old queue and of its new one, with one command denied."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from lua.denied.case import MANY, ROOM_TAKEN, Denied, Scenario
from vwo_celery.queue.handling import moving
from vwo_celery.queue.handling.moving import Arrival, Heading

HEADING = Heading("fme-2-other", 0, "b~1")
ARRIVAL = Arrival(
    batch="n", state="ready", events=2, bytes=8, first_ms=1, attempt=0, error="", died_ms=0,
    contexts="1\n00-a-b-01",
)  # fmt: skip


def _depart(case: Denied, *, state: str, at: int, **more: Any) -> None:
    case.given(state=state, at=at, **more)
    kind: Any = "dead" if state == "dead" else "ready"
    case.act(moving.depart, case.shard, "b", HEADING, state=kind, sealed_until_ms=10**15)
    for each in moving.leaving(case.world.shard):
        assert moving.stay(case.world.shard, each.batch, HEADING) == 3


def _stay(case: Denied, *, state: str, at: int, **more: Any) -> None:
    case.given(state=state, at=at, **more)
    kind: Any = "dead" if state == "dead" else "ready"
    assert moving.depart(case.world.shard, "b", HEADING, state=kind, sealed_until_ms=10**15)
    case.act(moving.stay, case.shard, "b", HEADING)
    moving.stay(case.world.shard, "b", HEADING)


def _forget(case: Denied) -> None:
    world = case.world
    case.given(state="ready", at=-2)
    moving.depart(world.shard, "b", HEADING, state="ready", sealed_until_ms=10**15)
    case.act(moving.forget, case.shard, "b", HEADING)
    kept = 3 * len(moving.leaving(world.shard))
    assert world.client.llen(world.shard.keys.batch("b")) == kept
    assert moving.forget(world.shard, "b", HEADING) == kept
    assert world.snapshot().balanced


def _stage(case: Denied) -> None:
    world = case.world
    case.given()
    key = world.shard.keys.staged("n")
    world.client.lpush(key, b"left over")
    case.act(moving.stage, case.shard, "n", [b"n01", b"n02"], before=0)
    case.act(moving.stage, case.shard, "n", [b"n03"], before=2)
    assert moving.stage(world.shard, "n", [b"n01", b"n02"], before=0)
    assert world.client.lrange(key, 0, -1) == [b"n02", b"n01"]
    world.client.delete(key)


def _arrive(case: Denied, **more: Any) -> None:
    world, arrival = case.world, replace(ARRIVAL, **more)
    case.given(limits=MANY)
    _uncount(case)
    assert moving.stage(world.shard, "n", [b"n01", b"n02"], before=0)
    case.act(moving.arrive_from_move, case.shard, arrival)
    assert moving.arrive_from_move(world.shard, arrival) in (moving.ARRIVED, moving.CAME_BEFORE)
    moving.forget_arrival(world.shard, "n")


def _uncount(case: Denied) -> None:
    """Two of the open events appended since room was granted."""
    counts = {"accepted": 3, "events": 3, "bytes": 12, "open_events": 0, "open_bytes": 0}
    case.world.client.hset(case.world.shard.keys.meta, mapping={**ROOM_TAKEN, **counts})


def _forgo(case: Denied) -> None:
    world = case.world
    case.given()
    world.client.zadd(world.shard.keys.arrived, {"old": 1, "older": -1})
    assert moving.stage(world.shard, "n", [b"n01"], before=0)
    case.act(moving.forgo, case.shard, "n")
    assert moving.forgo(world.shard, "n")
    world.client.delete(world.shard.keys.arrived)


SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "arrive": (
        _arrive,
        lambda case: _arrive(case, state="dead", error="HTTP 413", died_ms=5),
    ),
    "depart": (
        lambda case: _depart(case, state="ready", at=9_000),
        lambda case: _depart(case, state="leases", at=-2),
        lambda case: _depart(case, state="dead", at=-2),
    ),
    "forgo": (_forgo,),
    "moved": (_forget,),
    "stage": (_stage,),
    "stay": (
        lambda case: _stay(case, state="ready", at=9_000),
        lambda case: _stay(case, state="dead", at=-2),
    ),
}  # fmt: skip
