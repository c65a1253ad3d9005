"""What the tests of a circuit's scripts share: settings, failures, probes, and time that passes."""

from __future__ import annotations

from typing import Any

from lua.world import NAMESPACE, QUEUE, World
from vwo_celery import Settings
from vwo_celery.queue.holding.circuit import Circuit, Permit

SECOND = 1_000
HOUR = 3_600 * SECOND
#: Failures in a row that open a circuit in these tests.
FAILURES = 3
#: Longest first wait: twice the base of the backoff.
FIRST_MS = 2 * SECOND
#: Longest duration of a probe: the request timeout and a margin.
PROBE_MS = 25 * SECOND
#: Later than any time that is ever stored.
FAR = 24 * HOUR

SETTINGS: dict[str, Any] = {
    "namespace": NAMESPACE,
    "circuit_failures": FAILURES,
    "backoff_base_seconds": 1,
    "backoff_max_seconds": 300,
    "request_timeout_seconds": 20,
}


def circuit(world: World, *, random: float = 1.0, **settings: Any) -> Circuit:
    """The circuit as one worker sees it."""
    return Circuit(world.client, QUEUE, Settings(**{**SETTINGS, **settings}), lambda: random)


def fail(
    world: World,
    seen: Circuit,
    *,
    delivered_ms: int = 0,
    floor_seconds: float | None = None,
    probe: str = "",
) -> float | None:
    """Call trip.lua."""
    return world.call(
        seen.note_failure, delivered_ms=delivered_ms, floor_seconds=floor_seconds, probe=probe
    )


def opened(world: World, **options: Any) -> Circuit:
    """A circuit that has just opened."""
    seen = circuit(world, **options)
    while fail(world, seen) is None:
        pass
    return seen


def let_time_pass(world: World, passed_ms: int) -> None:
    """Make the circuit older, or younger if Redis' clock steps back."""
    key = world.shard.keys.circuit
    for field in ("since_ms", "until_ms", "opened_ms", "probe_until_ms", "probed_ms", "told_ms"):
        at = world.client.hget(key, field)
        if at is not None:
            world.client.hset(key, field, int(at) - passed_ms)


def probing(world: World, seen: Circuit) -> Permit:
    """The permission to probe, once the circuit's wait is over."""
    let_time_pass(world, FAR)
    permit = seen.ask()
    assert permit.answer == "probe"
    return permit
