"""What sweeps, flushes, looks and notes of a fleet ask of Redis, with one command denied."""

from __future__ import annotations

from lua.denied.case import (
    MANY,
    Denied,
    Scenario,
    given_contexts,
    given_mixed,
    given_room,
    on_batch,
)
from lua.world import NAMESPACE, room_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.queue.looks.snapshots import _read_by_script
from vwo_celery.queue.looks.surveys import due_shards
from vwo_celery.queue.records.histories import sample
from vwo_celery.queue.records.relays import RelayCard, read_relay_cards, write_relay_card
from vwo_celery.queue.records.shadows import (
    NOTHING,
    RowName,
    Shadow,
    Sum,
    Told,
    add_counts,
    read_shadow,
)
from vwo_celery.queue.work.settlements import begin, first_awaited
from vwo_celery.queue.work.stranded import restore


def _sweep(case: Denied) -> None:
    case.act(case.shard.sweep, force=True, idle_ms=600_000)


def _sweep_contexts(case: Denied) -> None:
    case.given()
    given_contexts(case)
    _sweep(case)


def _sweep_mixed(case: Denied) -> None:
    given_mixed(case)
    _sweep(case)


def _sweep_adopted(case: Denied) -> None:
    """A foreign event that is not due yet."""
    case.given(limits=MANY)
    case.world.client.lpush(case.world.shard.keys.open, b"foreign")
    case.act(case.shard.sweep, force=False, idle_ms=600_000)


def _sweep_room(case: Denied) -> None:
    given_room(case)
    case.world.client.hset(case.world.shard.keys.meta, "watched", 1)
    case.world.client.zadd(case.world.shard.keys.slots, {"w": case.world.at(9_000_000)})
    _sweep(case)


def _search(case: Denied) -> None:
    case.act(first_awaited, case.shard, case.world.at(-9), (), "b")


def _look(case: Denied) -> None:
    due_shards(Fleet(case.user, NAMESPACE), [case.shard.keys.name], 600_000, 0)


def _unwatch(case: Denied) -> None:
    case.world.given(meta={"watched": 1, **room_of(9, 99, accepted=0)})
    case.act(case.shard.unwatch)


def _restore(case: Denied) -> None:
    case.given()
    case.world.client.zrem(case.world.shard.keys.leases, "b")
    case.act(restore, case.shard)
    assert case.world.snapshot().events("ready") in (0, 3)
    restore(case.world.shard)


def _restore_released(case: Denied) -> None:
    """A worker of 0.1 has released a batch."""
    case.given(state="ready", at=9_000)
    case.world.client.delete(*case.world.shard.keys.indexes)
    case.world.client.hset(case.world.shard.keys.meta, "released_events", 0)
    case.act(restore, case.shard)


def _listen(case: Denied) -> None:
    """A worker is heard as soon as the command is allowed, or at once."""
    case.act(Fleet(case.user, NAMESPACE).note_listener, "w:1")
    Fleet(case.world.client, NAMESPACE).note_listener("w:1")
    assert Fleet(case.world.client, NAMESPACE).listeners() == ["w:1"]


def _relay(case: Denied) -> None:
    """A relay is known as soon as the command is allowed, or at once; one long silent is forgotten."""
    fleet = Fleet(case.world.client, NAMESPACE)
    write_relay_card(fleet, "old", RelayCard())
    case.world.client.zadd(fleet.keys.relays, {"old": 1})
    case.act(write_relay_card, Fleet(case.user, NAMESPACE), "r:1", RelayCard())
    write_relay_card(fleet, "r:1", RelayCard())
    assert list(read_relay_cards(fleet)) == ["r:1"]


def _shadow(case: Denied) -> None:
    """What a process counted, and that it ended, is added once, now or when that is allowed."""
    case.given()
    row, sums = RowName("q", "e", ""), (Sum(7), *NOTHING[1:])
    first = Told("p", "h", 1, 0, 0, "runs", {row: sums})
    for told in (first, first._replace(call=2, state="ended")):
        case.act(add_counts, Fleet(case.user, NAMESPACE), told)
        if told is first or "p" in {each.name for each in _shadow_of(case).processes}:
            add_counts(Fleet(case.world.client, NAMESPACE), told)
    found = _shadow_of(case)
    assert (found.rows[row][0].events, found.ended, found.processes) == (14, 1, ())
    case.world.client.unlink(Fleet(case.world.client, NAMESPACE).keys.shadow)


def _shadow_of(case: Denied) -> Shadow:
    found = read_shadow(Fleet(case.world.client, NAMESPACE))
    assert found is not None
    return found


SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "awaited": (on_batch(state="ready", at=-2)(_search),),
    "due": (
        lambda case: (
            case.given(state="ready", at=-2),
            case.world.client.zadd(case.world.shard.keys.slots, {"v": 1}),
            case.act(_look, case),
        )[0],
        lambda case: (
            case.given(state="ready", at=9_000_000, meta={"watched": 1}),
            case.act(_look, case),
        )[0],
    ),
    "flush": (on_batch(state="ready", at=-2)(lambda case: case.act(begin, case.shard)),),
    "glance": (on_batch()(lambda case: case.act(take_glances, [case.shard])),),
    "listen": (_listen,),
    "pulse": (
        lambda case: (case.given(), case.act(Fleet(case.user, NAMESPACE).note_task, "r@1", 5))[0],
    ),
    "relay": (_relay,),
    "restore": (_restore, _restore_released),
    "sample": (on_batch()(lambda case: case.act(sample, Fleet(case.user, NAMESPACE), [case.shard])),),
    "shadow": (_shadow,),
    "snapshot": (on_batch()(lambda case: case.act(_read_by_script, case.shard)),),
    "sweep": (
        lambda case: (case.given(state="ready", at=-2), _sweep(case))[0],
        _sweep_mixed,
        _sweep_adopted,
        _sweep_room,
        _sweep_contexts,
    ),
    "unwatch": (_unwatch,),
}  # fmt: skip
