"""What a worker asks of a shard and of its destination's circuit, with one command denied."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from lua.denied.case import LONG, Denied, Scenario, given_contexts, on_batch
from lua.world import LEASE_SECONDS, NAMESPACE, QUEUE, Line
from vwo_celery import Settings
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding import evidence
from vwo_celery.queue.holding.circuit import Circuit
from vwo_celery.queue.holding.declines import note_decline
from vwo_celery.queue.words.batches import Part


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


def _split(case: Denied) -> None:
    case.given(events=2 * LONG)
    given_contexts(case)
    parts = [
        Part("dead", ((0, 1), (5, 6)), 8, error="HTTP 400"),
        Part("ready", ((6, LONG),), 4 * (LONG - 6)),
        Part("ready", ((LONG, 2 * LONG),), 4 * LONG, delay_seconds=1),
    ]
    case.act(case.shard.split, case.batch(), parts, delivered=4)


def _split_with_a_foreign_event(case: Denied) -> None:
    case.given(events=2)
    key = case.shard.keys.batch("b")
    case.world.client.lpush(key, b"alien")
    case.act(case.shard.split, case.batch(), [Part("ready", ((0, 3),), 14)])
    if case.world.client.exists(key):  # it was denied: the other program takes its event back
        case.world.client.lpop(key)


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


SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "ack": tuple(
        on_batch(state=state, at=at)(lambda case: case.act(case.shard.ack, "b", claimed_ms=5))
        for state, at in (("leases", 60_000), ("ready", -1), ("dead", -1))
    ),
    "claim": (_claim_ready, _claim_lost_lease, _claim_past_an_orphan),
    "dead_letter": (
        on_batch()(lambda case: case.act(case.shard.dead_letter, case.batch(), error="old")),
    ),
    "decline": (_decline,),
    "extend": (
        on_batch()(
            lambda case: case.act(case.shard.extend, case.batch(), lease_seconds=9)
        ),
    ),
    "hand_back": (
        on_batch(attempt=2)(
            lambda case: case.act(
                case.shard.hand_back,
                replace(case.batch(), attempt=2),
                lease_until_ms=case.batch().lease_until_ms,
            )
        ),
        on_batch()(
            lambda case: case.act(
                case.shard.hand_back, case.batch(), lease_until_ms=case.batch().lease_until_ms
            )
        ),
    ),
    "mend": (
        lambda case: _mend(case, answered=True),
        lambda case: _mend(case, answered=False),
        _mend_another,
        _mend_without_probe,
    ),
    "note": (on_batch()(lambda case: case.act(evidence.note_proof, case.shard, 5)),),
    "permit": (_permit,),
    "release": (
        on_batch()(
            lambda case: case.act(case.shard.release, case.batch(), delay_seconds=9, error="503")
        ),
    ),
    "split": (_split, _split_with_a_foreign_event),
    "stop": (on_batch()(lambda case: case.act(case.shard.hold, 5)),),
    "suspect": (on_batch()(lambda case: case.act(evidence.suspect, case.shard, "b")),),
    "tell": (_tell,),
    "trip": (_trip, _trip_after_an_acceptance),
    "turn": (on_batch(state="ready", at=-2)(lambda case: case.act(case.shard.next_turn)),),
}  # fmt: skip
