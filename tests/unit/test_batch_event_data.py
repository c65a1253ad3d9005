"""batch_event_data: the vendor's options in every spelling; a wrong one never stops the app."""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vwo_celery.errors import SettingsError
from vwo_celery.logs import log_once
from vwo_celery.settings import batch_event_data
from vwo_celery.settings.batch_event_data import SPELLINGS, BatchSettings, parse_batch_event_data
from vwo_celery.settings.callbacks import callback_path

NAN, INFINITY = float("nan"), float("inf")
REAL_TIME = BatchSettings(events_per_request=1, request_time_interval=600.0)
DEFAULTS = BatchSettings(events_per_request=100, request_time_interval=600.0)


def on_flush(error: object, events: object) -> None:
    """A callback that a worker can import."""


async def on_flush_async(error: object, events: object) -> None:
    """An async callback; the parser accepts it, although nobody would await it."""


class Reports:
    """A class with callbacks of every kind."""

    @staticmethod
    def on_flush(error: object, events: object) -> None:
        """Importable under two names."""

    @classmethod
    def on_flush_of_class(cls, error: object, events: object) -> None:
        """Bound to the class."""

    def on_flush_of_object(self, error: object, events: object) -> None:
        """Bound to an object."""

    def __call__(self, error: object, events: object) -> None:
        """An object that can be called."""


HERE = on_flush.__module__


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The parser's warnings, in a process that has logged nothing yet."""
    monkeypatch.setattr(batch_event_data, "_once", log_once())
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("vwo_celery").addHandler(handler)
    yield messages

    logging.getLogger("vwo_celery").removeHandler(handler)


@dataclasses.dataclass
class Options:
    """Options as a dataclass."""

    events_per_request: Any = None
    request_time_interval: Any = None
    flush_callback: Any = None


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


@pytest.mark.parametrize(
    ("callback", "path"),
    [
        ("shop.analytics:on_flush", "shop.analytics:on_flush"),
        ("shop.analytics.on_flush", "shop.analytics:on_flush"),
        ("shop:Reports.on_flush", "shop:Reports.on_flush"),
        ("", ""),
        (on_flush, f"{HERE}:on_flush"),
        (on_flush_async, f"{HERE}:on_flush_async"),
        (Reports.on_flush, f"{HERE}:Reports.on_flush"),
        (len, "builtins:len"),
    ],
)
def test_a_callback_has_an_import_path(callback: Any, path: str) -> None:
    """A path is brought into one form; a function is replaced by its import path."""
    assert callback_path(callback) == path


def closure() -> Any:
    """A function inside a function."""

    def inner(error: object, events: object) -> None: ...

    return inner


def from_main(name: str = "on_flush") -> Any:
    """A function of the program's main module."""
    function: Any = closure()
    function.__module__, function.__qualname__ = "__main__", name
    return function


def shadowed() -> Any:
    """A function whose name now refers to another one."""
    function: Any = closure()
    function.__module__, function.__qualname__ = HERE, "on_flush"
    return function


UNREACHABLE: list[tuple[Any, str]] = [
    (lambda error, events: None, "a lambda"),
    (closure(), "a function inside a function"),
    (Reports().on_flush_of_object, "a method bound to an object"),
    (Reports.on_flush_of_class, "a method bound to an object"),
    ([].append, "an object of type builtin_function_or_method"),
    (from_main(), "on_flush of __main__"),
    (shadowed(), f"an object that {HERE}:on_flush does not lead to"),
    (functools.partial(on_flush, None), "an object of type partial"),
    (Reports(), "an object of type Reports"),
    (5, "5"),
    (True, "True"),
    (["a:b"], "['a:b']"),
    ("on_flush", "'on_flush'"),
    ("shop:", "'shop:'"),
    (":on_flush", "':on_flush'"),
    ("shop on_flush.x", "'shop on_flush.x'"),
    ("shop:f.<locals>.g", "'shop:f.<locals>.g'"),
    ("shop:<lambda>", "'shop:<lambda>'"),
    ("shop::on_flush", "'shop::on_flush'"),
    ("__main__:on_flush", "'__main__:on_flush', whose module is a different one"),
]


@pytest.mark.parametrize(
    ("callback", "told"),
    UNREACHABLE,
    ids=lambda part: part[:30] if isinstance(part, str) else type(part).__name__,
)
def test_a_callback_that_cannot_cross_processes(
    callback: Any, told: str, logged: list[str]
) -> None:
    """A callback without an import path is refused with the remedy, or left out unless strict."""
    options = {"events_per_request": 5, "flush_callback": callback}

    with pytest.raises(SettingsError) as refused:
        parse_batch_event_data(options, strict=True)

    assert told in str(refused.value)
    assert 'import path such as "shop.analytics:on_flush"' in str(refused.value)
    assert parse_batch_event_data(options) == BatchSettings(5, 600.0)
    assert logged == [f"{refused.value}; it is left out, and delivery goes on"]


def test_a_wrong_callback_alone_still_means_real_time() -> None:
    """A wrong callback alone still means real time: a callback does not decide when a batch leaves."""
    assert parse_batch_event_data({"flush_callback": 5}) == REAL_TIME


def test_a_decorated_callback_is_found_by_what_its_name_leads_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A decorated callback is found by its name, kept by functools.wraps: workers import the wrapper."""

    @functools.wraps(on_flush)
    def wrapper(error: object, events: object) -> None: ...

    original = on_flush
    monkeypatch.setattr(sys.modules[HERE], "on_flush", wrapper)

    assert callback_path(wrapper) == f"{HERE}:on_flush"
    with pytest.raises(SettingsError, match="does not lead to"):
        callback_path(original)


def test_parsing_imports_nothing() -> None:
    """The parser does not import a callback: the web process may not have its module."""
    before = set(sys.modules)

    parsed = parse_batch_event_data({"flush_callback": "xml.dom.pulldom:parse"}, strict=True)

    assert parsed.flush_callback == "xml.dom.pulldom:parse"
    assert "xml.dom.pulldom" not in set(sys.modules) - before


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
