"""Places of destinations in a relay: whose they are, and what is kept of those that found none."""

from __future__ import annotations

import tracemalloc

import pytest

from vwo_celery.relay.destinations import MOST_DESTINATIONS, Destinations
from vwo_celery.relay.rules.answers import Refused
from vwo_celery.settings import BatchSettings, Settings

NAMED = ("888888", "b" * 32)


def destinations(most_unnamed: int) -> Destinations:
    """The destinations of a relay whose list names one account and key, and others with any key."""
    return Destinations(
        Settings(spool_dir=""),
        lambda account: BatchSettings(),
        is_named=lambda *each: each == NAMED,
        most_unnamed=most_unnamed,
    )


def is_placed(places: Destinations, account: str, key: str, **query: str) -> bool:
    """Whether a request finds a place."""
    try:
        places.find("fme", "", account, key, query)
    except Refused:
        return False
    return True


def test_made_up_keys_take_no_place_of_a_named_one() -> None:
    """However many keys came to accounts with any key, a key of the list has its destinations."""
    places = destinations(most_unnamed=3)

    unnamed = [is_placed(places, "777777", f"key-{n}") for n in range(5)]
    named = [is_placed(places, *NAMED, sn=f"fme-{n}") for n in range(MOST_DESTINATIONS + 1)]

    assert unnamed == [True] * 3 + [False] * 2
    assert named == [True] * MOST_DESTINATIONS + [False]
    assert len(places) == 3 + MOST_DESTINATIONS


def test_nothing_is_kept_of_keys_that_found_no_place(caplog: pytest.LogCaptureFixture) -> None:
    """Memory does not grow by refused keys, and the log says why they are refused."""
    places = destinations(most_unnamed=0)
    is_placed(places, "777777", "first")

    tracemalloc.start()
    try:
        for number in range(1_000):
            is_placed(places, "777777", f"{number}" * 300)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 200_000
    assert "as many destinations as it keeps for keys that no list names" in caplog.text


@pytest.mark.parametrize("other", [{"pt": "ios"}, {"sn": "", "pt": "android"}])
def test_only_versions_are_folded(other: dict[str, str]) -> None:
    """Beyond the bound an event goes to a queue that differs in version and statistics, or to none."""
    places = destinations(most_unnamed=0)
    query = {"sn": "vwo-fme-android-sdk", "pt": "android"}
    for number in range(MOST_DESTINATIONS):
        places.find("fme", "", *NAMED, {**query, "sv": str(number)})
    for number in range(8):
        places.find("fme", "", *NAMED, {"sn": f"fme-{number}"})

    newer = places.find("fme", "", *NAMED, {**query, "sv": "99"})

    assert newer.is_folded
    assert not is_placed(places, *NAMED, **{**query, **other})
