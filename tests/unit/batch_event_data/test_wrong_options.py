"""batch_event_data: what is no option, or no options at all, never stops the app."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tools.batch_options import DEFAULTS, Options
from vwo_celery.errors import SettingsError
from vwo_celery.settings.batch_event_data import BatchSettings, parse_batch_event_data


@pytest.mark.parametrize(
    ("options", "told", "parsed"),
    [
        ({"event_per_request": 50}, "'event_per_request' (did you mean 'events", DEFAULTS),
        ({"batchMinsize": 50}, "'batchMinsize' (did you mean 'batchMinSize'?)", DEFAULTS),
        ({"sdk_key": "secret"}, "'sdk_key', only events_per_request", DEFAULTS),
        ({1: 2}, "no option 1, only", DEFAULTS),
        ({"retries": 3, "events_per_request": 5}, "'retries'", BatchSettings(5, 600.0)),
        ({"retries": 3, "flush_callback": "a:b"}, "'retries'", BatchSettings(100, 600.0, "a:b")),
    ],
)
def test_an_option_that_does_not_exist(
    options: Any, told: str, parsed: BatchSettings, logged: list[str]
) -> None:
    """An unknown option is reported with the nearest one, not its value, and still means batches."""
    with pytest.raises(SettingsError) as refused:
        parse_batch_event_data(options, strict=True)

    assert told in str(refused.value)
    assert parse_batch_event_data(options) == parsed
    assert len(logged) == 1
    assert told in logged[0]
    assert "secret" not in logged[0]


class Raising(Mapping[str, Any]):
    """A mapping that raises at every read."""

    def __getitem__(self, key: str) -> Any:
        raise OSError

    def __iter__(self) -> Iterator[str]:
        raise OSError

    def __len__(self) -> int:
        raise OSError

    def __repr__(self) -> str:
        raise OSError


class Odd:
    """An object that raises when it is compared, hashed or shown."""

    def __eq__(self, other: object) -> bool:
        raise OSError

    def __hash__(self) -> int:
        raise OSError

    def __repr__(self) -> str:
        raise OSError


@pytest.mark.parametrize(
    "options", [5, 0, "x", "", [], [("events_per_request", 5)], True, False, Options, object()]
)
def test_options_that_are_no_options(options: Any, logged: list[str]) -> None:
    """An object that holds no options is reported, and batches with both defaults are used."""
    with pytest.raises(SettingsError, match="it must be a dict or a struct of options"):
        parse_batch_event_data(options, strict=True)

    assert parse_batch_event_data(options) == DEFAULTS
    assert len(logged) == 1


@pytest.mark.parametrize(
    "options", [Raising(), {"events_per_request": Odd()}, {"flush_callback": Odd(), "x": Odd()}]
)
def test_options_that_raise_are_only_wrong(options: Any) -> None:
    """An object that raises at every access is only a wrong value: the app starts."""
    with pytest.raises(SettingsError):
        parse_batch_event_data(options, strict=True)

    assert parse_batch_event_data(options) == DEFAULTS


def test_one_error_names_every_problem() -> None:
    """One error names every problem."""
    options = {"events_per_request": 0, "request_time_interval": 0, "retries": 1}

    with pytest.raises(SettingsError) as refused:
        parse_batch_event_data(options, strict=True)

    assert [name for name in options if name not in str(refused.value)] == []


def test_a_problem_is_logged_once_in_a_process(logged: list[str]) -> None:
    """The same problem is logged once per process, another problem again."""
    for _ in range(3):
        parse_batch_event_data({"events_per_request": 0})
        parse_batch_event_data({"events_per_request": -1})

    assert [text.count("; 0 was given") + text.count("; -1 was given") for text in logged] == [1, 1]
