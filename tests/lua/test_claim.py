"""claim.lua: lease the batch that has waited longest, and say what its worker must know."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lua.world import LEASE_MS, LIMITS, Line, World
from vwo_celery.queue.words.batches import Batch, Passed


def test_a_ready_batch_is_leased(world: World) -> None:
    """A claimed batch moves from ready to leased, its attempt counted, its events unchanged."""
    line = Line(events=3, bytes=30, first=world.at(-9_000), sealed=world.at(-8_000))
    world.given(ready={"b": world.at(-8_000)}, info={"b": line}, batches={"b": [b"1", b"2", b"3"]})

    batch = world.claim()

    assert batch is not None
    assert batch == Batch(
        id="b", attempt=1, lost_leases=0, events=3, bytes=30, first_ms=world.at(-9_000),
        sealed_ms=world.at(-8_000), claimed_ms=batch.claimed_ms,
        lease_until_ms=batch.claimed_ms + LEASE_MS, wakeups=0, help_token=batch.help_token,
        results_wanted=False, delivered_ms=0, passed=None,
    )  # fmt: skip
    assert batch.claimed_ms == world.now()
    assert world.changes() == {
        "ready": None,
        "leases": {"b": world.now(LEASE_MS)},
        "info": {"b": line._replace(attempt=1)},
    }


def test_the_events_are_read_oldest_first(world: World) -> None:
    """Events are read in the order in which they were enqueued, however many pages it takes."""
    events = [b"%d" % i for i in range(2_500)]
    line = Line(events=2_500, bytes=10_000)
    world.given(ready={"b": world.at(-1)}, info={"b": line}, batches={"b": events})
    batch = world.claim()
    assert batch is not None

    read = world.call(world.shard.read, batch)

    assert read == events
    assert world.changes() == {}


def test_the_oldest_goes_first(world: World) -> None:
    """Of several ready batches, the one that became visible first is claimed."""
    world.given(
        ready={"a": world.at(-10), "b": world.at(-30), "c": world.at(-20)},
        info={"a": Line(), "b": Line(), "c": Line()},
    )

    batch = world.claim()

    assert batch is not None
    assert batch.id == "b"


def test_a_released_batch_is_invisible_until_its_delay_is_over(world: World) -> None:
    """A released batch is not claimed before its delay is over; an empty claim changes nothing."""
    world.given(ready={"b": world.at(60_000)}, info={"b": Line(attempt=1)})

    batch = world.claim()

    assert batch is None
    assert world.changes() == {}


def test_an_expired_lease_is_reclaimed_first(world: World) -> None:
    """A batch with an expired lease is claimed before ready batches, and the lost lease is counted."""
    line = Line(attempt=1, lost=1, error="an older failure")
    world.given(
        ready={"a": world.at(-90_000)},
        leases={"b": world.at(-1)},
        info={"a": Line(), "b": line},
        slots={"w": world.at(9_000), "v": world.at(9_000)},
    )

    batch = world.claim()

    assert batch is not None
    assert (batch.id, batch.attempt, batch.lost_leases) == ("b", 2, 2)
    assert world.changes() == {
        "leases": {"b": world.now(LEASE_MS)},
        "info": {"b": line._replace(attempt=2, lost=2)},
        "tally": {"lost_leases": 1},
    }


def test_a_lease_that_holds_is_nobody_elses(world: World) -> None:
    """A batch under an unexpired lease is not claimed again."""
    world.given(leases={"b": world.at(60_000)}, info={"b": Line(attempt=1)})

    batch = world.claim()

    assert batch is None
    assert world.changes() == {}


def test_no_more_than_parallel_in_flight(world: World) -> None:
    """With as many leases as the destination allows, ready batches wait."""
    world.given(
        ready={"c": world.at(-1)},
        leases={"a": world.at(60_000), "b": world.at(60_000)},
        info={name: Line() for name in "abc"},
    )

    batch = world.claim()

    assert batch is None
    assert world.changes() == {}


def test_a_lowered_parallel_holds_for_expired_leases_too(world: World) -> None:
    """After `parallel` was lowered to 1, no expired lease is claimed while another batch is in flight."""
    world.given(
        limits=replace(LIMITS, parallel=1),
        leases={"a": world.at(60_000), "b": world.at(-1)},
        info={"a": Line(attempt=1), "b": Line(attempt=1)},
    )

    batch = world.claim()

    assert batch is None
    assert world.changes() == {}


def test_a_paused_queue_gives_nothing(world: World) -> None:
    """While a queue is paused, neither ready batches nor expired leases are claimed."""
    world.given(
        meta={"paused": "401 Unauthorized"},
        ready={"a": world.at(-1)},
        leases={"b": world.at(-1)},
        info={"a": Line(), "b": Line(attempt=1)},
        slots={"w": world.at(9_000)},
    )

    batch = world.claim("w")

    assert batch is None
    assert world.changes() == {"slots": None}


@pytest.mark.parametrize(
    ("meta", "delivered_ms", "wanted", "passed"),
    [
        ({}, 0, False, None),
        ({"delivered_ms": 0, "results_until": 1}, 0, False, None),
        ({"delivered_ms": 17, "results_until": 2**52}, 17, True, None),
        ({"fit_events": 3, "fit_bytes": 40, "fit_ms": 5}, 0, False, Passed(3, 40, 5)),
        (
            {"fit_events": 3, "fit_bytes": 40, "fit_ms": 5, "fit_refusals": 2},
            0,
            False,
            Passed(3, 40, 5, 2),
        ),
    ],
)
def test_what_the_worker_must_know(
    world: World,
    meta: dict[str, int | str],
    delivered_ms: int,
    wanted: bool,
    passed: Passed | None,
) -> None:
    """A claim returns the time and the size of the last delivery, and whether anybody listens."""
    world.given(meta=meta, ready={"b": world.at(-1)}, info={"b": Line()})

    batch = world.claim()

    assert batch is not None
    assert (batch.delivered_ms, batch.results_wanted) == (delivered_ms, wanted)
    assert batch.passed == passed


def test_an_id_without_a_line_is_removed(world: World) -> None:
    """An id without an info line is removed: it cannot be sent and must not block other batches."""
    world.given(ready={"a": world.at(-2), "b": world.at(-1)}, info={"b": Line()})

    batch = world.claim()

    assert batch is not None
    assert batch.id == "b"
    assert world.changes()["ready"] is None


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "2", "1:0:3:9:5:5", "v2:1:0:3:9:5:5:", "1:0:3:9:-5:5:", "1:0:nan:9:5:5:",
        "0:0:" + "9" * 400 + ":9:5:5:", '{"attempt":1}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("state", ["ready", "leases"])
def test_a_line_that_cannot_be_read_holds_up_nobody(world: World, state: str, text: str) -> None:
    """An unreadable line hides its own batch for a minute, unchanged; the next batch is claimed."""
    world.given(ready={"b": world.at(-1)}, info={"b": Line()})
    world.given(members={state: {"odd": world.at(-2)}})
    world.client.hset(world.shard.keys.info, "odd", text)

    batch = world.shard.claim(token="", lease_seconds=30)
    again = world.shard.claim(token="", lease_seconds=30)

    assert isinstance(batch, Batch)
    assert batch.id == "b"
    assert again is None
    assert world.client.hget(world.shard.keys.info, "odd") == text.encode()
    hidden = world.client.zscore(world.shard.keys.ready, "odd")
    assert hidden is not None
    assert hidden > world.at(50_000)
    assert world.client.zscore(world.shard.keys.leases, "odd") is None


def test_an_error_text_survives_a_claim(world: World) -> None:
    """An error text with colons or line breaks leaves the info line readable."""
    line = Line(attempt=1, error="HTTP 503: busy:\ntry later: 5 s")
    world.given(ready={"b": world.at(-1)}, info={"b": line})

    world.claim()

    assert world.changes()["info"] == {"b": line._replace(attempt=2)}


def test_an_unregistered_shard_gives_nothing(world: World) -> None:
    """A shard without limits, as after FLUSHALL, gives no batch."""
    batch = world.claim("w")

    assert batch is None
    assert world.changes() == {}


def test_the_longest_lease_is_kept_in_mind(world: World) -> None:
    """A claim stores the longest lease of those in flight; a shorter one replaces it only alone."""
    world.given(
        ready={"a": world.at(-2), "b": world.at(-1)}, info={"a": Line(), "b": Line(), "c": Line()}
    )
    claim, k = world.shard.claim, world.shard.keys

    world.call(claim, token="", lease_seconds=3_600)
    first = world.changes()["meta"]
    world.call(claim, token="", lease_seconds=60)
    meanwhile = world.changes()
    world.client.delete(k.leases)
    world.client.zadd(k.ready, {"c": world.at(-1)})
    world.call(claim, token="", lease_seconds=60)

    assert first == {"longest_lease_ms": 3_600_000}
    assert "meta" not in meanwhile
    assert world.changes()["meta"] == {"longest_lease_ms": 60_000}


@pytest.mark.parametrize(
    ("ready", "leases", "following"),
    [
        ({"b": -30, "c": -20, "d": -10}, {}, "c"),
        ({"b": -30}, {}, ""),
        ({"b": -30, "c": 90_000}, {}, ""),
        ({"b": -30, "c": -20}, {"x": 50_000}, ""),
        ({"c": -20, "d": -10}, {"b": -5}, ""),
    ],
    ids=["next", "none", "not due", "others are in flight", "after a reclaim"],
)
def test_a_claim_foresees_the_next_one(
    world: World, ready: dict[str, int], leases: dict[str, int], following: str
) -> None:
    """It names the batch that is due next, where no other worker sends that would take it."""
    names = {*ready, *leases}
    leased = {name: world.at(ms) for name, ms in leases.items()}
    world.given(
        ready={name: world.at(ms) for name, ms in ready.items()},
        info=dict.fromkeys(names, Line()),
        **({"leases": leased} if leased else {}),
    )

    batch = world.claim()

    assert batch is not None
    assert (batch.id, batch.following) == ("b" if "b" in names else "c", following)
