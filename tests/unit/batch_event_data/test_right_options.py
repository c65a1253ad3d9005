"""batch_event_data: the vendor's options in every spelling, and what they come to."""

from __future__ import annotations

import collections
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.batch_options import DEFAULTS, HERE, REAL_TIME, Options, on_flush
from vwo_celery.settings.batch_event_data import SPELLINGS, BatchSettings, parse_batch_event_data


class Struct(msgspec.Struct):
    """Options as another struct, in the spelling of .NET."""

    EventsPerRequest: Any = msgspec.UNSET
    RequestTimeInterval: Any = msgspec.UNSET


RIGHT: list[tuple[Any, BatchSettings]] = [
    (None, REAL_TIME),
    ({}, REAL_TIME),
    (Options(), REAL_TIME),
    (Struct(), REAL_TIME),
    ({"events_per_request": None, "request_time_interval": None}, REAL_TIME),
    ({"flush_callback": None}, REAL_TIME),
    ({"flush_callback": ""}, REAL_TIME),
    ({"flush_callback": "shop:on_flush"}, BatchSettings(1, 600.0, "shop:on_flush")),
    ({"events_per_request": 1}, BatchSettings(1, 600.0)),
    ({"events_per_request": 50}, BatchSettings(50, 600.0)),
    ({"events_per_request": 5000}, BatchSettings(5000, 600.0)),
    ({"request_time_interval": 1}, BatchSettings(100, 1.0)),
    ({"request_time_interval": 1.5}, BatchSettings(100, 1.5)),
    ({"request_time_interval": 86_400 * 365}, BatchSettings(100, 31_536_000.0)),
    ({"request_time_interval": 1e300}, BatchSettings(100, 1e300)),
    ({"events_per_request": 50, "request_time_interval": 60}, BatchSettings(50, 60.0)),
    ({"events_per_request": 50, "request_time_interval": None}, BatchSettings(50, 600.0)),
    ({"EventsPerRequest": 50, "RequestTimeInterval": 60, "FlushCallback": on_flush},
     BatchSettings(50, 60.0, f"{HERE}:on_flush")),
    ({"eventsPerRequest": 50, "requestTimeInterval": 60, "flushCallback": "a.b.c"},
     BatchSettings(50, 60.0, "a.b:c")),
    ({"batchMinSize": 10, "batchUploadTimeInterval": 300_000}, BatchSettings(10, 300.0, is_least=True)),
    ({"batch_min_size": 10, "batch_upload_time_interval": 1000}, BatchSettings(10, 1.0, is_least=True)),
    ({"batchUploadTimeInterval": 1500.5}, BatchSettings(100, 1.5005)),
    ({"events_per_request": 7, "EventsPerRequest": 7, "batchMinSize": 7}, BatchSettings(7, 600.0)),
    ({"request_time_interval": 60, "batchUploadTimeInterval": 60_000}, BatchSettings(100, 60.0)),
    ({"flush_callback": on_flush, "flushCallback": f"{HERE}:on_flush", "events_per_request": 2},
     BatchSettings(2, 600.0, f"{HERE}:on_flush")),
    (MappingProxyType({"events_per_request": 50}), BatchSettings(50, 600.0)),
    (collections.OrderedDict(events_per_request=50), BatchSettings(50, 600.0)),
    (Options(events_per_request=50), BatchSettings(50, 600.0)),
    (Options(flush_callback=on_flush), BatchSettings(1, 600.0, f"{HERE}:on_flush")),
    (Struct(RequestTimeInterval=60), BatchSettings(100, 60.0)),
    (BatchSettings(), DEFAULTS),
    (BatchSettings(50), BatchSettings(50, 600.0)),
    (BatchSettings(50, is_least=True), BatchSettings(50, 600.0, is_least=True)),
    (BatchSettings(50, 60, "shop.on_flush"), BatchSettings(50, 60.0, "shop:on_flush")),
]  # fmt: skip


@pytest.mark.parametrize(("options", "expected"), RIGHT)
def test_options_that_are_right(options: Any, expected: BatchSettings, logged: list[str]) -> None:
    """One option brings the other's default, neither means real time, and all spellings are equal."""
    parsed = parse_batch_event_data(options)

    assert parsed == parse_batch_event_data(options, strict=True) == expected
    assert type(parsed.request_time_interval) is float
    assert logged == []


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(1.0, 1000), (1.5005, 1500), (1e300, 10**15), (1.7e308, 10**15)]
)
def test_the_interval_in_milliseconds_can_be_added_to_a_clock(
    seconds: float, milliseconds: int
) -> None:
    """The longest interval in milliseconds can be added to a clock: Lua's integers have a maximum."""
    batch = BatchSettings(5, seconds)

    assert batch.request_time_interval_ms == milliseconds


def test_batch_settings_are_frozen_and_hashable() -> None:
    """Batch settings can be shared and compared."""
    batch = parse_batch_event_data({"events_per_request": 5})

    assert {batch: 1}[BatchSettings(5, 600.0)] == 1
    with pytest.raises(AttributeError):
        batch.events_per_request = 6  # type: ignore[misc]


@settings(max_examples=15)
@given(
    st.dictionaries(
        st.sampled_from([*SPELLINGS, "other"]),
        st.integers() | st.floats() | st.text(max_size=3) | st.none() | st.booleans(),
        max_size=4,
    )
)
def test_whatever_is_given_the_result_is_in_range(options: dict[str, Any]) -> None:
    """Nothing raises, and every result is in range and accepted with strict."""
    parsed = parse_batch_event_data(options)

    assert parse_batch_event_data(parsed, strict=True) == parsed
