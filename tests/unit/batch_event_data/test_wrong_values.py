"""batch_event_data: a wrong number or interval is an error if strict; else its default is used."""

from __future__ import annotations

from typing import Any

import pytest

from tools.batch_options import DEFAULTS
from vwo_celery.errors import SettingsError
from vwo_celery.settings.batch_event_data import BatchSettings, parse_batch_event_data

NAN, INFINITY = float("nan"), float("inf")
EVENTS_RANGE = "must be a whole number of events from 1 to 5000"
SECONDS_RANGE = "must be a finite number of seconds, 1 or more"
MS_RANGE = "must be a finite number of milliseconds, 1000 or more"


def wrong(*values: Any) -> list[tuple[Any, str]]:
    """Wrong values, each with its form in an error."""
    return [(value, repr(value)) for value in values]


WRONG_EVENTS = wrong(
    0, 5001, -1, 10**30, "10", "", 1.5, 50.0, True, False, NAN, INFINITY, [10], {}, 1j, b"1"
)
WRONG_SECONDS = wrong(0, 0.999, -1, "60", "", True, NAN, INFINITY, -INFINITY, [60], {}, 1j)


@pytest.mark.parametrize(("value", "told"), WRONG_EVENTS)
def test_a_wrong_number_of_events(value: Any, told: str, logged: list[str]) -> None:
    """Strict: an error with option, range and value. Otherwise 100, logged once, and never real time."""
    for spelling in ("events_per_request", "EventsPerRequest", "batchMinSize"):
        with pytest.raises(SettingsError) as refused:
            parse_batch_event_data({spelling: value}, strict=True)
        parsed = parse_batch_event_data({spelling: value, "request_time_interval": 60})
        alone = parse_batch_event_data({spelling: value})

        problem = f"batch_event_data: {spelling} {EVENTS_RANGE}; {told} was given"
        assert str(refused.value) == problem
        assert parsed == BatchSettings(100, 60.0)
        assert alone == DEFAULTS
        assert logged.pop() == f"{problem}; the default, 100 events, is used"
        assert logged == []


@pytest.mark.parametrize(("value", "told"), WRONG_SECONDS)
def test_a_wrong_interval(value: Any, told: str, logged: list[str]) -> None:
    """Strict: an error with option, range and value. Otherwise 600 seconds, logged once."""
    with pytest.raises(SettingsError) as refused:
        parse_batch_event_data({"request_time_interval": value}, strict=True)
    parsed = parse_batch_event_data({"request_time_interval": value, "events_per_request": 5})

    problem = f"batch_event_data: request_time_interval {SECONDS_RANGE}; {told} was given"
    assert str(refused.value) == problem
    assert parsed == BatchSettings(5, 600.0)
    assert logged == [f"{problem}; the default, 600 seconds, is used"]


@pytest.mark.parametrize(("value", "told"), wrong(0, 600, 999.9, "300000", True, NAN, INFINITY))
def test_a_wrong_interval_of_android(value: Any, told: str, logged: list[str]) -> None:
    """Android's interval is in milliseconds: its range says so, and a value in seconds is refused."""
    with pytest.raises(SettingsError) as refused:
        parse_batch_event_data({"batchUploadTimeInterval": value}, strict=True)
    parsed = parse_batch_event_data({"batchUploadTimeInterval": value})

    problem = f"batch_event_data: batchUploadTimeInterval {MS_RANGE}; {told} was given"
    assert str(refused.value) == problem
    assert parsed == DEFAULTS
    assert logged == [f"{problem}; the default, 600000 milliseconds, is used"]


def test_an_integer_beyond_any_float_is_refused() -> None:
    """The interval has no vendor's maximum, but it must be small enough to add to a clock."""
    with pytest.raises(SettingsError, match=SECONDS_RANGE):
        parse_batch_event_data({"request_time_interval": 10**400}, strict=True)
    with pytest.raises(SettingsError, match=MS_RANGE):
        parse_batch_event_data({"batchUploadTimeInterval": 10**400}, strict=True)


@pytest.mark.parametrize(
    ("options", "told", "parsed"),
    [
        (
            {"events_per_request": 10, "EventsPerRequest": 20},
            "events_per_request 10 and EventsPerRequest 20 are one option",
            DEFAULTS,
        ),
        (
            {"request_time_interval": 60, "batchUploadTimeInterval": 60_001},
            "request_time_interval 60 and batchUploadTimeInterval 60001 are one option",
            DEFAULTS,
        ),
        (
            {"flush_callback": "a:b", "flushCallback": "a:c", "events_per_request": 5},
            "flush_callback 'a:b' and flushCallback 'a:c' are one option",
            BatchSettings(5, 600.0),
        ),
        (
            {"events_per_request": 10, "batchMinSize": "10"},
            "batchMinSize must be a whole number",
            DEFAULTS,
        ),
    ],
)
def test_two_spellings_that_disagree(
    options: dict[str, Any], told: str, parsed: BatchSettings, logged: list[str]
) -> None:
    """Of two contradicting spellings neither is used; the option takes its default."""
    with pytest.raises(SettingsError, match=told):
        parse_batch_event_data(options, strict=True)

    assert parse_batch_event_data(options) == parsed
    assert len(logged) == 1
    assert told in logged[0]
