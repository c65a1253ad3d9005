"""listen.lua: a worker notes that it listens, whatever somebody else wrote among those that do."""

from __future__ import annotations

import pytest
import redis as redis_py

from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.signs import LISTENER_TTL_SECONDS

TTL_MS = int(1000 * LISTENER_TTL_SECONDS)
#: Scores that are no time at which a worker listened.
JUNK = ("inf", "-inf", "1e300", "9223372036854775807", "1e15", "0.5", "-1e15")


@pytest.fixture
def fleet(redis: redis_py.Redis) -> Fleet:
    """All queues of a namespace."""
    return Fleet(redis, "vwo")


def since_ms(fleet: Fleet) -> int:
    """Unix ms since which a worker has been listening without a gap."""
    return fleet.signs_ms()["listening"]


@pytest.mark.parametrize("junk", JUNK)
def test_junk_does_not_begin_the_listening_anew(fleet: Fleet, junk: str) -> None:
    """Workers that note again and again have listened since the first note: else no stall is found."""
    fleet.client.zadd(fleet.keys.listeners, {"junk": junk})
    fleet.note_listener("w:1")
    fleet.client.hset(fleet.keys.pulse, "listening", 5)

    fleet.note_listener("w:1")

    assert since_ms(fleet) == 5


@pytest.mark.parametrize("junk", JUNK)
def test_junk_hides_no_gap(fleet: Fleet, junk: str) -> None:
    """After a time without workers, listening begins anew: the first of them needs a moment."""
    fleet.client.zadd(fleet.keys.listeners, {"junk": junk})
    fleet.client.hset(fleet.keys.pulse, "listening", 5)
    before = fleet.now_ms()

    fleet.note_listener("w:1")

    assert since_ms(fleet) >= before


@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_no_worker(fleet: Fleet, junk: str) -> None:
    """It is not among those that listen, and tells of no time at which one did."""
    fleet.client.zadd(fleet.keys.listeners, {"junk": junk})
    nobody = fleet.last_listened_ms()

    fleet.note_listener("w:1")

    assert nobody == 0
    assert fleet.listeners() == ["w:1"]
    assert 0 < fleet.last_listened_ms() <= fleet.now_ms()


def test_the_silent_are_forgotten_and_counted(fleet: Fleet) -> None:
    """A worker that was silent for long goes with the note of another one, which hears of it."""
    now = fleet.now_ms()
    fleet.client.zadd(fleet.keys.listeners, {"gone": now - TTL_MS - 1, "other": now})

    gone = fleet.note_listener("w:1")

    assert gone == 1
    assert sorted(fleet.listeners()) == ["other", "w:1"]


def test_a_worker_that_is_a_moment_ahead_counts(fleet: Fleet) -> None:
    """Two workers ask for the time before they note it: the later one may come first."""
    fleet.client.zadd(fleet.keys.listeners, {"other": fleet.now_ms() + TTL_MS - 5_000})
    fleet.client.hset(fleet.keys.pulse, "listening", 5)

    fleet.note_listener("w:1")

    assert since_ms(fleet) == 5
