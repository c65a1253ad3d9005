"""What an operator asks of batches that wait or are dead, with one command denied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lua.denied.case import LONG, MANY, ROOM_TAKEN, Denied, Scenario, on_batch
from lua.world import NAMESPACE, QUEUE, room_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import forgetting
from vwo_celery.queue.handling.picking import pick_out
from vwo_celery.queue.handling.waiting import drop_open, drop_waiting, hasten, vanish
from vwo_celery.queue.shard import PURGED


def _pick_out(case: Denied, places: list[int], drop: str = "") -> None:
    case.given(events=LONG, state="dead", at=-1, limits=MANY, meta={
        **room_of(9, 99, accepted=LONG, taken=(2, 12)), "accepted": LONG,
        "events": 0, "bytes": 0, "open_events": 0, "open_bytes": 0,
    })  # fmt: skip
    case.act(pick_out, case.shard, "b", places, drop=drop)


def _drop_open(case: Denied, most: int) -> None:
    case.given(state="ready", at=-2)
    case.act(drop_open, case.shard, most, begun_until_ms=10**15)


def _drop_mixed(case: Denied) -> None:
    meta = {
        **ROOM_TAKEN, "accepted": 3, "events": 3, "bytes": 12, "open_events": 0, "open_bytes": 0,
    }  # fmt: skip
    case.given(state="ready", at=-2, meta=meta)
    case.world.client.lpush(case.world.shard.keys.open, b"foreign")
    case.act(drop_open, case.shard, 99, begun_until_ms=10**15)


def _vanish(case: Denied) -> None:
    """A batch whose events were deleted; whatever is denied, the next call counts it."""
    case.given(state="ready", at=-2)
    case.world.client.delete(case.world.shard.keys.batch("b"))
    case.act(vanish, case.shard, "b")
    vanish(case.world.shard, "b")


def _forget_shard(case: Denied) -> None:
    case.world.given()
    case.act(forgetting.forget_shard, case.shard, idle_seconds=None, delete=True)


def _unlist(case: Denied, script_of: Callable[[Fleet], Any]) -> None:
    case.given()
    fleet = Fleet(case.user, NAMESPACE)
    case.world.client.hset(fleet.keys.queues, QUEUE, "{}")
    case.act(script_of, fleet)
    case.world.client.delete(fleet.keys.queues)  # no shard's key


SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "doubt": (lambda case: _unlist(case, lambda fleet: forgetting.doubt(fleet, QUEUE, ())),),
    "drop": tuple(
        on_batch(state=state, at=-2)(
            lambda case: case.act(
                drop_waiting, case.shard, "b", sealed_until_ms=case.world.at(60_000)
            )
        )
        for state in ("ready", "leases")
    ),
    "drop_open": (
        lambda case: _drop_open(case, 2), lambda case: _drop_open(case, 1), _drop_mixed,
    ),
    "forget": (_forget_shard,),
    "free": (
        on_batch(meta={"paused": "401"})(lambda case: case.act(case.shard.resume)),
        on_batch(state="ready", at=9_000, meta={"held_until": 5})(
            lambda case: case.act(case.shard.let_go, hasten=True)
        ),
    ),
    "hasten": (on_batch(state="ready", at=9_000)(lambda case: case.act(hasten, case.shard)),),
    "pick_out": (
        lambda case: _pick_out(case, [0, 2]),
        lambda case: _pick_out(case, [0, 2], drop=PURGED),
        lambda case: _pick_out(case, [0]),
    ),
    "purge": (
        on_batch(state="dead", at=-1)(lambda case: case.act(case.shard.purge, "b")),
    ),
    "redrive": (
        lambda case: (
            case.given(state="dead", at=-1, meta={
                **ROOM_TAKEN, "accepted": 3, "events": 0, "bytes": 0, "open_events": 0, "open_bytes": 0,
            }),
            case.act(case.shard.redrive, "b"),
        )[0],
    ),
    "set_aside": tuple(
        on_batch(state=state, at=-2)(
            lambda case: case.act(case.shard.set_aside, "b", reason="malformed")
        )
        for state in ("ready", "leases")
    ),
    "unlist": (lambda case: _unlist(case, lambda fleet: forgetting.unlist(fleet, QUEUE, "}")),),
    "vanish": (_vanish,),
}  # fmt: skip
