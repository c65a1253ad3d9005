"""Stored registrations: in the oldest shape that says what they say, and never misread."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from vwo_celery.destinations import Destination
from vwo_celery.queue import registry
from vwo_celery.queue.words.batches import Limits
from vwo_celery.queue.words.registration import NEWEST_VERSION, Registration

LIMITS = Limits(
    events_per_request=5, interval_ms=60_000, batch_bytes=1_000_000, capacity_events=1_000,
    capacity_bytes=1_000_000, parallel=2, slot_ttl_ms=10_000,
)  # fmt: skip
PARTS: dict[str, Any] = {"account_id": 1, "sdk_key": "k" * 32, "generation": "fme"}


@pytest.mark.parametrize("query", [(), (("sn", ""),), (("i", "x"), ("pt", "y"))], ids=str)
@pytest.mark.parametrize("generation", ["fme", "legacy"])
def test_a_registration_with_a_query_is_read_back(
    generation: str, query: tuple[tuple[str, str], ...]
) -> None:
    """A registration comes back as it was, its queue named after it."""
    destination = Destination(**{**PARTS, "generation": generation}, query=query)

    text = registry.encode(Registration(destination, LIMITS))

    found = registry.decode(destination.queue, text, None)
    assert found.destination == destination
    assert type(found.destination) is Destination
    assert found.destination.queue == destination.queue


def test_what_the_release_before_can_say_is_stored_as_it_does() -> None:
    """A destination without a query is stored in the first shape, byte for byte."""
    registration = Registration(Destination(**PARTS, region="eu01"), LIMITS)

    assert registry.encode(registration) == msgspec.json.encode(registration)
    assert "version" not in json.loads(registry.encode(registration))


def test_a_query_is_stored_in_a_way_that_release_0_1_refuses() -> None:
    """Release 0.1 ignores fields and versions that it does not know; not a generation."""
    stored = json.loads(registry.encode(Registration(Destination(**PARTS, query=()), LIMITS)))

    assert stored["version"] == NEWEST_VERSION
    assert stored["destination"]["generation"] not in ("fme", "legacy")


def test_a_registration_of_a_later_version_is_not_read() -> None:
    """It may need what this release does not know: its reason names both versions."""
    stored = json.loads(msgspec.json.encode(Registration(Destination(**PARTS), LIMITS)))
    text = json.dumps({**stored, "version": NEWEST_VERSION + 1}).encode()

    with pytest.raises(msgspec.ValidationError, match="version 3, and this release reads 2"):
        registry.decode("q", text, None)


def test_a_most_of_a_batch_is_stored_only_where_it_is_given() -> None:
    """Without one, a registration is what it always was; with one, it is read back."""
    destination = Destination(**PARTS)
    least = msgspec.structs.replace(LIMITS, batch_events=7)

    without = json.loads(registry.encode(Registration(destination, LIMITS)))
    found = registry.decode(
        destination.queue, registry.encode(Registration(destination, least)), None
    )

    assert "batch_events" not in without["limits"]
    assert found.limits == least
    assert "batch_events" not in LIMITS.fields()
