"""A script that Redis stops at a command which the user may not run leaves every event in one place.

Each script is run once for each command in its text, as a Redis user that may run all others.
Afterwards, with that command allowed again, everything is found by the sweep and delivered once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis as redis_py
from msgspec.structs import replace
from redis.exceptions import ResponseError

from lua.world import LEASE_SECONDS, LIFE, LIMITS, NAMESPACE, QUEUE, ROOM, Line, World
from vwo_celery import Destination, Settings
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.batches import Part
from vwo_celery.queue.capacity import make_room
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import forgetting, moving
from vwo_celery.queue.handling.moving import Arrival, Heading
from vwo_celery.queue.handling.picking import pick_out
from vwo_celery.queue.handling.waiting import drop_open, drop_waiting, hasten, vanish
from vwo_celery.queue.holding import evidence
from vwo_celery.queue.holding.circuit import Circuit
from vwo_celery.queue.holding.declines import note_decline
from vwo_celery.queue.keys import copy_keys
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.queue.looks.snapshots import REDIS_LOST, _read_by_script
from vwo_celery.queue.looks.surveys import due_shards
from vwo_celery.queue.looks.tallies import read_tallies
from vwo_celery.queue.marks import Mark
from vwo_celery.queue.records.copies import MOST_COPIES, Copies, CopyName
from vwo_celery.queue.records.histories import sample
from vwo_celery.queue.records.relays import RelayCard, read_relay_cards, write_relay_card
from vwo_celery.queue.records.reports import Count, new_report, report
from vwo_celery.queue.records.shadows import (
    NOTHING,
    RowName,
    Shadow,
    Sum,
    Told,
    add_counts,
    read_shadow,
)
from vwo_celery.queue.registration import Registration
from vwo_celery.queue.scripts import names, script
from vwo_celery.queue.shard import PURGED, Shard
from vwo_celery.queue.work.settlements import begin, first_awaited
from vwo_celery.queue.work.stranded import restore
from vwo_celery.testing import RedisServer

USER, PASSWORD = "narrow", "p"
#: Events of a long part, which is copied whole.
LONG = 90
COPY = CopyName("https://vwo.example", "7", "k", "settings?a=7")
MANY = replace(LIMITS, batch_bytes=10_000, events_per_request=500)


class Denied:
    """One shard as an administrator prepares it, and the same shard of a user who lacks a command."""

    def __init__(self, world: World, user: Any, command: str) -> None:
        self.world = world
        self.user = user
        self.shard = Shard(user, NAMESPACE, QUEUE, 0)
        self.command = command
        self.pushed: list[tuple[Mark, tuple[bytes, ...]]] = []

    def given(
        self, *, events: int = 3, state: str = "leases", at: int = 60_000, **more: Any
    ) -> None:
        """One batch in a state, two open events, and room for more."""
        texts = [b"%03d" % n for n in range(events)]
        open_events = more.pop("open", [b"open1", b"open2"])
        undelivered = len(open_events) + (0 if state == "dead" else events)
        line = Line(
            attempt=more.pop("attempt", 1), events=events, bytes=4 * events, sealed=self.world.at(-5),
            error="" if state == "dead" else "HTTP 503",
        )  # fmt: skip
        counts = {
            "accepted": len(open_events) + events,
            "events": undelivered,
            "bytes": 6 * len(open_events) + (0 if state == "dead" else 4 * events),
            "dead": events if state == "dead" else 0,
            "open_events": len(open_events),
            "open_bytes": 6 * len(open_events),
            "first_ms": self.world.at(-1),
            "flush_until": self.world.at(600_000),  # so that notes on batches are wanted
        }
        self.world.given(
            limits=more.pop("limits", LIMITS),
            meta={**counts, **more.pop("meta", {})},
            open=open_events,
            batches={"b": texts},
            info={"b": line},
            members={state: {"b": self.world.at(at)}},
        )

    def act(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Call without the command; whatever the answer is."""
        self.world.client.execute_command("ACL", "SETUSER", USER, f"-{self.command.lower()}")
        with suppress(QueueUnavailable, ResponseError):
            method(*arguments, **options)
        self.world.client.execute_command("ACL", "SETUSER", USER, f"+{self.command.lower()}")

    def push(self, mark: Mark, *events: bytes) -> None:
        """Push without the command, for the repeat that follows."""
        self.pushed.append((mark, events))
        self.act(self.shard.push, self.shard.push_command(mark, events, len(events) + 1))

    def append(self, mark: Mark, event: bytes) -> None:
        """Append without the command; a push under the same mark follows."""
        self.pushed.append((mark, (event,)))
        self.act(self.shard.append, mark, event)

    def batch(self) -> Any:
        """The batch as its holder has it."""
        until = self.world.client.zscore(self.world.shard.keys.leases, "b")
        return replace(self.world.batch("b", lease_until_ms=int(until or 0)), help_token="help")


Scenario = Callable[[Denied], None]


def _append(case: Denied) -> None:
    case.given(limits=MANY, meta=dict.fromkeys(ROOM, 1_000))
    case.append(Mark("m", 1), b"new")


def _append_again(case: Denied) -> None:
    case.given(limits=MANY, meta=dict.fromkeys(ROOM, 1_000))
    assert case.world.shard.append(Mark("m", 1), b"new")
    case.append(Mark("m", 1), b"new")


def _append_after_a_loss(case: Denied) -> None:
    case.given(limits=MANY, meta={**dict.fromkeys(ROOM, 1_000), "life": LIFE})
    case.append(Mark("m", 5, life=LIFE), b"new")


def _enqueue(case: Denied) -> None:
    case.given(limits=MANY)
    case.push(Mark("m", 1), b"new")


def _enqueue_full_batches(case: Denied) -> None:
    case.given()
    case.push(Mark("m", 8), *[b"n%d" % n for n in range(8)])


def _enqueue_after_a_seal(case: Denied) -> None:
    case.given(limits=replace(LIMITS, batch_bytes=20))
    case.push(Mark("m", 1), b"x" * 15)


def _enqueue_after_a_loss(case: Denied) -> None:
    case.given(limits=MANY, meta={"life": LIFE})
    case.push(Mark("m", 9, life=LIFE), b"new")


def _enqueue_beyond_capacity(case: Denied) -> None:
    case.given(limits=replace(LIMITS, capacity_events=5))
    case.push(Mark("m", 1), b"new")
    case.pushed.clear()


def _claim(case: Denied, **state: Any) -> None:
    case.given(**state)
    case.world.client.hset(case.world.shard.keys.meta, "longest_lease_ms", 1)
    case.world.client.zadd(case.world.shard.keys.slots, {"w": case.world.at(60_000)})
    case.act(case.shard.claim, token="w", lease_seconds=LEASE_SECONDS)


def _claim_ready(case: Denied) -> None:
    case.world.given(
        ready={"c": case.world.at(-1)}, info={"c": Line(events=1, bytes=4)}, batches={"c": [b"c01"]}
    )
    _claim(case, state="ready", at=-2, meta={"accepted": 6, "events": 6, "bytes": 28})


def _claim_lost_lease(case: Denied) -> None:
    _claim(case, state="leases", at=-2)


def _claim_past_an_orphan(case: Denied) -> None:
    case.world.given(ready={"orphan": case.world.at(-9)})
    _claim(case, state="ready", at=-2)


def _on_batch(**state: Any) -> Callable[[Callable[[Denied], None]], Scenario]:
    def scenario(act: Callable[[Denied], None]) -> Scenario:
        def run(case: Denied) -> None:
            case.given(**state)
            act(case)

        return run

    return scenario


def _pick_out(case: Denied, places: list[int], drop: str = "") -> None:
    case.given(events=LONG, state="dead", at=-1, limits=MANY, meta={
        "granted_events": 9, "room_events": 7, "granted_bytes": 99, "room_bytes": 87,
        "accepted": LONG, "events": 0, "bytes": 0, "open_events": 0, "open_bytes": 0,
    })  # fmt: skip
    case.act(pick_out, case.shard, "b", places, drop=drop)


def _split(case: Denied) -> None:
    case.given(events=2 * LONG)
    parts = [
        Part("dead", ((0, 1), (5, 6)), 8, error="HTTP 400"),
        Part("ready", ((6, LONG),), 4 * (LONG - 6)),
        Part("ready", ((LONG, 2 * LONG),), 4 * LONG, delay_seconds=1),
    ]
    case.act(case.shard.split, case.batch(), parts, delivered=4)


def _mixed(case: Denied) -> None:
    """More events than are counted, so that another program has pushed."""
    case.given(state="ready", at=-2)
    case.world.client.lpush(case.world.shard.keys.open, *[b"f%d" % n for n in range(5)])


def _sweep(case: Denied) -> None:
    case.act(case.shard.sweep, force=True, idle_ms=600_000)


def _sweep_mixed(case: Denied) -> None:
    _mixed(case)
    _sweep(case)


def _sweep_adopted(case: Denied) -> None:
    """A foreign event that is not due yet."""
    case.given(limits=MANY)
    case.world.client.lpush(case.world.shard.keys.open, b"foreign")
    case.act(case.shard.sweep, force=False, idle_ms=600_000)


def _sweep_room(case: Denied) -> None:
    _room(case)
    case.world.client.hset(case.world.shard.keys.meta, "watched", 1)
    case.world.client.zadd(case.world.shard.keys.slots, {"w": case.world.at(9_000_000)})
    _sweep(case)


def _drop_open(case: Denied, most: int) -> None:
    case.given(state="ready", at=-2)
    case.act(drop_open, case.shard, most, begun_until_ms=10**15)


def _drop_mixed(case: Denied) -> None:
    meta = {
        "granted_events": 9, "room_events": 7, "granted_bytes": 99, "room_bytes": 87,
        "accepted": 3, "events": 3, "bytes": 12, "open_events": 0, "open_bytes": 0,
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


def _search(case: Denied) -> None:
    case.act(first_awaited, case.shard, case.world.at(-9), (), "b")


def _room(case: Denied) -> None:
    """Two events appended since room was granted."""
    room = {"granted_events": 9, "room_events": 7, "granted_bytes": 99, "room_bytes": 87}
    uncounted = {"accepted": 3, "events": 3, "bytes": 12, "open_events": 0, "open_bytes": 0}
    case.given(state="ready", at=-2, meta={**uncounted, **room})


def _look(case: Denied) -> None:
    due_shards(Fleet(case.user, NAMESPACE), [case.shard.keys.name], 600_000, 0)


def _unwatch(case: Denied) -> None:
    case.world.given(meta={"watched": 1, **dict.fromkeys(ROOM, 9)})
    case.act(case.shard.unwatch)


def _make_room(case: Denied, capacity: int, *, mixed: bool = False) -> None:
    limits = replace(LIMITS, capacity_events=capacity)
    if mixed:
        _mixed(case)
        case.world.shard.set_limits(limits)
    else:
        case.given(state="ready", at=-2, limits=limits, meta={"refused": 1})
    case.act(make_room, case.shard, [b"new"])


def _circuit(case: Denied) -> Circuit:
    case.given()
    return Circuit(case.user, QUEUE, Settings(circuit_failures=1), lambda: 1.0)


def _decline(case: Denied) -> None:
    case.given()
    case.act(note_decline, Fleet(case.user, NAMESPACE), QUEUE, "a:1", "may not")


def _trip(case: Denied) -> None:
    case.act(_circuit(case).note_failure, delivered_ms=0, floor_seconds=None, probe="")


def _trip_after_an_acceptance(case: Denied) -> None:
    circuit = _circuit(case)
    case.world.client.hset(case.world.shard.keys.circuit, mapping={"failures": 1, "since_ms": 1})
    case.act(circuit.note_failure, delivered_ms=2, floor_seconds=None, probe="", batch_id="b")


def _permit(case: Denied) -> None:
    circuit = _circuit(case)
    case.world.client.hset(case.world.shard.keys.circuit, "until_ms", 1)
    case.act(circuit.ask)


def _mend(case: Denied, *, answered: bool) -> None:
    circuit = _circuit(case)
    case.world.client.hset(case.world.shard.keys.circuit, mapping={"until_ms": 1, "probe": "p"})
    case.act(circuit.end_probe, "p", answered=answered)


def _mend_without_probe(case: Denied) -> None:
    circuit = _circuit(case)
    case.world.client.hset(case.world.shard.keys.circuit, mapping={"since_ms": 1, "told_ms": 2})
    case.act(circuit.end_probe, "", answered=True)


def _tell(case: Denied) -> None:
    circuit = _circuit(case)
    case.world.client.hset(case.world.shard.keys.circuit, mapping={"since_ms": 1})
    case.act(circuit.worth_telling)


def _mend_another(case: Denied) -> None:
    case.act(_circuit(case).end_probe, "p", answered=True)


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


def _register(case: Denied) -> None:
    case.given()
    registration = Registration(
        Destination(account_id=1, sdk_key="k" * 32, generation="fme"), LIMITS
    )
    fleet = Fleet(case.user, NAMESPACE)
    case.act(fleet.register, registration)
    case.world.client.delete(fleet.keys.watched)  # no shard's key


def _forget_shard(case: Denied) -> None:
    case.world.given()
    case.act(forgetting.forget_shard, case.shard, idle_seconds=None, delete=True)


def _unlist(case: Denied, script_of: Callable[[Fleet], Any]) -> None:
    case.given()
    fleet = Fleet(case.user, NAMESPACE)
    case.world.client.hset(fleet.keys.queues, QUEUE, "{}")
    case.act(script_of, fleet)
    case.world.client.delete(fleet.keys.queues)  # no shard's key


def _limit_forgotten(case: Denied) -> None:
    case.world.given()
    assert forgetting.forget_shard(case.world.shard, idle_seconds=None, delete=True).code == 1
    case.act(case.shard.set_limits, LIMITS, known_life=LIFE)


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


def _report(case: Denied) -> None:
    """The report is counted once: as soon as the command is allowed, or at once."""
    case.given()
    told = new_report(0, {"spooled": Count(7, 1.0, 1.0)})
    case.act(report, case.shard, told, now=2.0)
    report(case.world.shard, told, now=3.0)
    assert read_tallies([case.world.shard])[0].spooled.events == 7


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


HEADING = Heading("fme-2-other", 0, "b~1")
ARRIVAL = Arrival(
    batch="n", state="ready", events=2, bytes=8, first_ms=1, attempt=0, error="", died_ms=0
)


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
    room = {"granted_events": 9, "room_events": 7, "granted_bytes": 99, "room_bytes": 87}
    counts = {"accepted": 3, "events": 3, "bytes": 12, "open_events": 0, "open_bytes": 0}
    case.world.client.hset(case.world.shard.keys.meta, mapping={**room, **counts})


def _copies(client: Any) -> Copies:
    return Copies(client, NAMESPACE, fetch_seconds=5.0)


def _remember(case: Denied) -> None:
    """Keep a copy in place of an old one, as the process whose task it is."""
    case.given()
    token = _copies(case.world.client).recall(COPY).token
    index = "".join(f"{i:x} 1 1;" for i in range(MOST_COPIES))
    case.world.client.hset(copy_keys(NAMESPACE, COPY.owner, "")[0], "index", index)
    case.act(_copies(case.user).remember, COPY, b"{}", token=token)


def _forgo(case: Denied) -> None:
    world = case.world
    case.given()
    world.client.zadd(world.shard.keys.arrived, {"old": 1, "older": -1})
    assert moving.stage(world.shard, "n", [b"n01"], before=0)
    case.act(moving.forgo, case.shard, "n")
    assert moving.forgo(world.shard, "n")
    world.client.delete(world.shard.keys.arrived)


SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "ack": tuple(
        _on_batch(state=state, at=at)(lambda case: case.act(case.shard.ack, "b", claimed_ms=5))
        for state, at in (("leases", 60_000), ("ready", -1), ("dead", -1))
    ),
    "arrive": (
        _arrive,
        lambda case: _arrive(case, state="dead", error="HTTP 413", died_ms=5),
    ),
    "depart": (
        lambda case: _depart(case, state="ready", at=9_000),
        lambda case: _depart(case, state="leases", at=-2),
        lambda case: _depart(case, state="dead", at=-2),
    ),
    "doubt": (lambda case: _unlist(case, lambda fleet: forgetting.doubt(fleet, QUEUE, ())),),
    "forget": (_forget_shard,),
    "forgo": (_forgo,),
    "unlist": (lambda case: _unlist(case, lambda fleet: forgetting.unlist(fleet, QUEUE, "}")),),
    "moved": (_forget,),
    "stage": (_stage,),
    "stay": (
        lambda case: _stay(case, state="ready", at=9_000),
        lambda case: _stay(case, state="dead", at=-2),
    ),
    "append": (_append, _append_again, _append_after_a_loss),
    "claim": (_claim_ready, _claim_lost_lease, _claim_past_an_orphan),
    "decline": (_decline,),
    "dead_letter": (
        _on_batch()(lambda case: case.act(case.shard.dead_letter, case.batch(), error="old")),
    ),
    "enqueue": (
        _enqueue, _enqueue_full_batches, _enqueue_after_a_seal, _enqueue_after_a_loss,
        _enqueue_beyond_capacity,
    ),
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
    "extend": (
        _on_batch()(
            lambda case: case.act(case.shard.extend, case.batch(), lease_seconds=9)
        ),
    ),
    "awaited": (_on_batch(state="ready", at=-2)(_search),),
    "drop": tuple(
        _on_batch(state=state, at=-2)(
            lambda case: case.act(
                drop_waiting, case.shard, "b", sealed_until_ms=case.world.at(60_000)
            )
        )
        for state in ("ready", "leases")
    ),
    "drop_open": (
        lambda case: _drop_open(case, 2), lambda case: _drop_open(case, 1), _drop_mixed,
    ),
    "hasten": (_on_batch(state="ready", at=9_000)(lambda case: case.act(hasten, case.shard)),),
    "vanish": (_vanish,),
    "flush": (_on_batch(state="ready", at=-2)(lambda case: case.act(begin, case.shard)),),
    "free": (
        _on_batch(meta={"paused": "401"})(lambda case: case.act(case.shard.resume)),
        _on_batch(state="ready", at=9_000, meta={"held_until": 5})(
            lambda case: case.act(case.shard.let_go, hasten=True)
        ),
    ),
    "glance": (_on_batch()(lambda case: case.act(take_glances, [case.shard])),),
    "hand_back": (
        _on_batch(attempt=2)(
            lambda case: case.act(
                case.shard.hand_back,
                replace(case.batch(), attempt=2),
                lease_until_ms=case.batch().lease_until_ms,
            )
        ),
        _on_batch()(
            lambda case: case.act(
                case.shard.hand_back, case.batch(), lease_until_ms=case.batch().lease_until_ms
            )
        ),
    ),
    "limit": (
        lambda case: (
            _room(case), case.act(case.shard.set_limits, LIMITS, known_life="another"),
        )[0],
        _limit_forgotten,
    ),
    "make_room": (
        lambda case: _make_room(case, 3),
        lambda case: _make_room(case, 1),
        lambda case: _make_room(case, 1, mixed=True),
    ),
    "mend": (
        lambda case: _mend(case, answered=True),
        lambda case: _mend(case, answered=False),
        _mend_another,
        _mend_without_probe,
    ),
    "note": (_on_batch()(lambda case: case.act(evidence.note_proof, case.shard, 5)),),
    "permit": (_permit,),
    "pick_out": (
        lambda case: _pick_out(case, [0, 2]),
        lambda case: _pick_out(case, [0, 2], drop=PURGED),
        lambda case: _pick_out(case, [0]),
    ),
    "pulse": (
        lambda case: (case.given(), case.act(Fleet(case.user, NAMESPACE).note_task, "r@1", 5))[0],
    ),
    "purge": (
        _on_batch(state="dead", at=-1)(lambda case: case.act(case.shard.purge, "b")),
    ),
    "recall": (_on_batch()(lambda case: case.act(_copies(case.user).recall, COPY)),),
    "redrive": (
        lambda case: (
            case.given(state="dead", at=-1, meta={
                "granted_events": 9, "room_events": 7, "granted_bytes": 99, "room_bytes": 87,
                "accepted": 3, "events": 0, "bytes": 0, "open_events": 0, "open_bytes": 0,
            }),
            case.act(case.shard.redrive, "b"),
        )[0],
    ),
    "register": (_register,),
    "remember": (_remember,),
    "report": (_report,),
    "shadow": (_shadow,),
    "restore": (_restore, _restore_released),
    "release": (
        _on_batch()(
            lambda case: case.act(case.shard.release, case.batch(), delay_seconds=9, error="503")
        ),
    ),
    "listen": (_listen,),
    "relay": (_relay,),
    "set_aside": tuple(
        _on_batch(state=state, at=-2)(
            lambda case: case.act(case.shard.set_aside, "b", reason="malformed")
        )
        for state in ("ready", "leases")
    ),
    "sample": (_on_batch()(lambda case: case.act(sample, Fleet(case.user, NAMESPACE), [case.shard])),),
    "snapshot": (_on_batch()(lambda case: case.act(_read_by_script, case.shard)),),
    "split": (_split,),
    "stop": (_on_batch()(lambda case: case.act(case.shard.hold, 5)),),
    "suspect": (_on_batch()(lambda case: case.act(evidence.suspect, case.shard, "b")),),
    "sweep": (
        lambda case: (case.given(state="ready", at=-2), _sweep(case))[0],
        _sweep_mixed,
        _sweep_adopted,
        _sweep_room,
    ),
    "tell": (_tell,),
    "trip": (_trip, _trip_after_an_acceptance),
    "turn": (_on_batch(state="ready", at=-2)(lambda case: case.act(case.shard.next_turn)),),
    "unwatch": (_unwatch,),
}  # fmt: skip
#: Commands of an included function that the script does not call; and those for a list that was deleted.
NEVER_RUN = {
    ("awaited", "HSET"), ("extend", "HSET"), ("flush", "HGET"), ("hasten", "HSET"), ("sweep", "HSETNX"),
    ("unwatch", "HINCRBY"),
}  # fmt: skip
CASES = [
    (name, command)
    for name in names()
    for command in sorted(script(name).commands)
    if (name, command) not in NEVER_RUN
]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server with a user whose commands these tests choose."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def world(server: RedisServer) -> Iterator[World]:
    """A shard on that server."""
    client: redis_py.Redis = redis_py.Redis.from_url(server.url)
    client.flushall()
    client.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", "~*", "+@all")
    client.execute_command("ACL", "LOG", "RESET")
    yield World(client)
    client.close()


@pytest.mark.parametrize(("name", "command"), CASES)
def test_a_denied_command_strands_nothing(world: World, name: str, command: str) -> None:
    """Without one command a script fails as a whole, or does its work: nothing is lost or doubled."""
    user = redis_py.Redis(
        connection_pool=redis_py.ConnectionPool(
            connection_class=world.client.connection_pool.connection_class,
            **{**world.client.connection_pool.connection_kwargs,
               "username": USER, "password": PASSWORD},
        )
    )  # fmt: skip
    world.shard.client.script_load(script(name).text)
    for scenario in SCENARIOS[name]:
        world.client.flushall()
        case = Denied(world, user, command)
        scenario(case)
        _check_places(world)
        _deliver_all(case)
    user.close()

    denied = {entry["object"] for entry in world.client.acl_log()}
    assert command.lower() in map(_text, denied), f"no scenario of {name} runs {command}"


def _text(value: Any) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).lower()


def _check_places(world: World) -> None:
    """Every batch is in exactly one state, with its line and all of its events; the ledger balances."""
    dump = world.dump()
    places = Counter(name for state in ("ready", "leases", "dead") for name in dump.get(state, {}))
    lines = dump.get("info", {})
    lists = {name.removeprefix("batch:") for name in dump if name.startswith("batch:")}
    places.pop("orphan", None)
    assert set(places) == set(lines) == lists
    assert set(places.values()) <= {1}
    for name, line in lines.items():
        assert len(dump[f"batch:{name}"]) == line.events
    assert world.snapshot().balanced


def _deliver_all(case: Denied) -> None:
    """Repeat the pushes and deliver; every event arrives once, or is counted as dropped."""
    world, k = case.world, case.world.shard.keys
    before = _events(world)
    for mark, events in case.pushed:
        mark.doubt()
        world.push(mark, *events)
    expected = before | Counter(text for _, events in case.pushed for text in events)
    assert _events(world) == expected
    assert set(expected.values()) <= {1}
    world.shard.set_limits(replace(LIMITS, parallel=99))
    world.shard.resume()
    world.shard.let_go()
    for name in world.dump().get("dead", {}):
        world.shard.redrive(name)
    for state in (k.leases, k.ready):
        for name in world.client.zrange(state, 0, -1):
            world.client.zadd(state, {name: 1})
    arrived: Counter[bytes] = Counter()
    delivered = world.snapshot().delivered
    while world.sweep(force=True).more:
        pass
    while batch := world.claim():
        arrived.update(world.shard.read(batch))
        assert world.shard.ack(batch.id)
    assert arrived == expected
    snapshot = world.snapshot()
    assert snapshot.balanced
    assert snapshot.counted_events == snapshot.counted_bytes == 0
    assert snapshot.delivered == delivered + arrived.total()
    lost = snapshot.dropped.get(REDIS_LOST, 0)
    assert lost == max((m.sequence - len(e) for m, e in case.pushed), default=0)


def _events(world: World) -> Counter[bytes]:
    """All events in lists; those of a batch only if the batch has a line."""
    dump = world.dump()
    lists = [dump.get("open", []), *(dump[f"batch:{name}"] for name in dump.get("info", {}))]
    return Counter(event for events in lists for event in events)
