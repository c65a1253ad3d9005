"""`batch_event_data`: when a batch leaves, in the vendor's words and in the spelling of every SDK.

No I/O. Read once, when a queue is made, before any event exists; nothing is lost if the
process dies here. A wrong value disables the vendor's SDKs; here it costs only its own option, which
takes the vendor's default. With `strict` it raises instead.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta

from vwo_celery.errors import SettingsError
from vwo_celery.events import MAX_EVENTS_PER_REQUEST
from vwo_celery.logs import log_once
from vwo_celery.settings.callbacks import callback_path
from vwo_celery.text.wording import nearest, shown

#: The vendor's defaults (pages "Configure Event Batching" and "Event Batching").
DEFAULT_EVENTS_PER_REQUEST = 100
DEFAULT_REQUEST_TIME_INTERVAL = 600.0
REAL_TIME_EVENTS_PER_REQUEST = 1

#: Longest interval that may be added to a time: 30,000 years. The vendor sets no maximum.
_LONGEST_INTERVAL_MS = 10**15

EventsPerRequest = Annotated[int, Meta(ge=1, le=MAX_EVENTS_PER_REQUEST)]
Seconds = Annotated[float, Meta(ge=1, le=sys.float_info.max)]
Milliseconds = Annotated[float, Meta(ge=1000, le=sys.float_info.max)]

#: The vendor's options in Python's spelling.
_OPTIONS = ("events_per_request", "request_time_interval", "flush_callback")

_once = log_once()


class BatchSettings(msgspec.Struct, frozen=True):
    """When a batch leaves, and the callback; `parse_batch_event_data` returns values in range.

    Args:
        events_per_request: A batch leaves when this many events wait, 1 to 5000.
        request_time_interval: Or when its oldest event has waited this many seconds, 1 or more.
        flush_callback: Import path "module:name" of the function that a worker calls after each
            attempt; "" for none.
        is_least: Whether the number is Android's `batchMinSize`, the least that makes all events
            leave that wait, in batches of at most 5000; else no batch holds more than the number.
    """

    events_per_request: EventsPerRequest = DEFAULT_EVENTS_PER_REQUEST
    request_time_interval: Seconds = DEFAULT_REQUEST_TIME_INTERVAL
    flush_callback: str = ""
    is_least: bool = False

    @property
    def request_time_interval_ms(self) -> int:
        """The interval in whole milliseconds, small enough to be added to any time."""
        return int(min(self.request_time_interval * 1000, _LONGEST_INTERVAL_MS))


def parse_batch_event_data(given: object, *, strict: bool = False) -> BatchSettings:
    """Read the vendor's option in any of its forms and spellings.

    Args:
        given: None, a dict, a Struct or a dataclass with the options of SPELLINGS. If only one of
            size and interval is given, the other takes its default; neither means real time. An
            option that is None counts as not given.
        strict: Raise for a wrong value. Otherwise it is logged once in the process, and its option
            takes the vendor's default; a callback that cannot be used is left out.

    Raises:
        SettingsError: With *strict*, something is wrong; names each wrong option, its range and
            the given value.
    """
    problems: list[_Problem] = []
    settings = _parse(given, problems)
    if strict and problems:
        raise SettingsError("; ".join(f"batch_event_data: {each.what}" for each in problems))
    for problem in problems:
        message = f"batch_event_data: {problem.what}; {problem.instead}"
        _once.warn(message, "%s", message)
    return settings


class _Problem(NamedTuple):
    what: str
    instead: str


class Reading(NamedTuple):
    """Everything about one spelling: its option, unit, range, default, meaning and conversion."""

    option: str
    unit: str
    range: str
    default: str
    meaning: str
    convert: Callable[[Any], Any]

    @property
    def instead(self) -> str:
        """The consequence of a wrong value, for the log."""
        if self.option == "flush_callback":
            return "it is left out, and delivery goes on"
        return f"the default, {self.default} {self.unit}, is used"


def _parse(given: object, problems: list[_Problem]) -> BatchSettings:
    try:
        values = _sort(_options(given), problems)
    except Exception:
        # The app must start, whatever an object raises when it is read.
        what = f"it must be a dict or a struct of options; {shown(given)} was given"
        problems.append(_Problem(what, "the defaults are used"))
        return BatchSettings()
    batched = bool(values["events_per_request"] or values["request_time_interval"] or problems)
    chosen = {option: _choose(found, problems) for option, found in values.items()}
    if not batched:
        chosen["events_per_request"] = REAL_TIME_EVENTS_PER_REQUEST
    sizes = values["events_per_request"]
    if sizes and chosen["events_per_request"] is not None:
        chosen["is_least"] = all(SPELLINGS[each] is _LEAST for each in sizes)
    return BatchSettings(**{name: value for name, value in chosen.items() if value is not None})


def _options(given: Any) -> dict[Any, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, BatchSettings):
        size = "batch_min_size" if given.is_least else "events_per_request"
        return {size: given.events_per_request} | {
            name: getattr(given, name) for name in _OPTIONS if name != "events_per_request"
        }
    if isinstance(given, msgspec.Struct):
        return {name: getattr(given, name) for name in given.__struct_fields__}
    if isinstance(given, type):
        raise TypeError
    return {each.name: getattr(given, each.name) for each in dataclasses.fields(given)}


def _sort(options: dict[Any, Any], problems: list[_Problem]) -> dict[str, dict[str, Any]]:
    """Group the given values by option, and under it by spelling."""
    values: dict[str, dict[str, Any]] = {name: {} for name in _OPTIONS}
    for key, value in options.items():
        if key not in SPELLINGS:
            known = ", ".join(values)
            what = f"there is no option {shown(key)}{nearest(key, SPELLINGS)}, only {known}"
            problems.append(_Problem(what, "it is ignored"))
        elif value is not None and value is not UNSET:
            values[SPELLINGS[key].option][key] = value
    return values


def _choose(found: dict[str, Any], problems: list[_Problem]) -> Any:
    """Return the value of an option; None if none was given or it is wrong."""
    read: list[Any] = []
    for spelling, value in found.items():
        reading = SPELLINGS[spelling]
        try:
            read.append(reading.convert(value))
        except Exception as exc:
            refused = str(exc) if isinstance(exc, SettingsError) else shown(value)
            what = f"{spelling} must be {reading.range}; {refused} was given"
            problems.append(_Problem(what, reading.instead))
            return None
    if any(value != read[0] for value in read):
        pairs = " and ".join(f"{spelling} {shown(value)}" for spelling, value in found.items())
        what = f"{pairs} are one option in two spellings, and disagree"
        problems.append(_Problem(what, reading.instead))
        return None
    return read[0] if read else None


def _three_cases(words: str) -> tuple[str, str, str]:
    """snake_case, camelCase and PascalCase of some words."""
    pascal = words.title().replace(" ", "")
    return words.replace(" ", "_"), pascal[0].lower() + pascal[1:], pascal


_EVENTS = Reading(
    "events_per_request",
    "events",
    f"a whole number of events from 1 to {MAX_EVENTS_PER_REQUEST}",
    f"{DEFAULT_EVENTS_PER_REQUEST}",
    "A batch leaves when this many events wait; no batch holds more.",
    lambda value: msgspec.convert(value, EventsPerRequest),
)
_LEAST = _EVENTS._replace(
    meaning="All events that wait leave once they are this many, in batches of at most "
    f"{MAX_EVENTS_PER_REQUEST}."
)
_SECONDS = Reading(
    "request_time_interval",
    "seconds",
    "a finite number of seconds, 1 or more",
    f"{DEFAULT_REQUEST_TIME_INTERVAL:g}",
    "A batch leaves when its oldest event has waited this long.",
    lambda value: msgspec.convert(value, Seconds),
)
_MILLISECONDS = _SECONDS._replace(
    unit="milliseconds",
    range="a finite number of milliseconds, 1000 or more",
    default=f"{DEFAULT_REQUEST_TIME_INTERVAL * 1000:.0f}",
    convert=lambda value: msgspec.convert(value, Milliseconds) / 1000,
)
_CALLBACK = Reading(
    "flush_callback",
    "",
    "a function at the top level of a module that the workers can import, or its import path such "
    'as "shop.analytics:on_flush", since it is called in a worker',
    "none",
    "Called in the worker after each attempt to send a batch, as `flush_callback(error, events)`; "
    "*error* is None only if VWO accepted the batch. Its module must be in `callback_modules`.",
    callback_path,
)
#: Every spelling of every option: those of Python, Ruby and PHP, .NET, Java and Node, Android.
SPELLINGS: dict[str, Reading] = {
    spelling: reading
    for words, reading in (
        ("events per request", _EVENTS),
        ("batch min size", _LEAST),
        ("request time interval", _SECONDS),
        ("batch upload time interval", _MILLISECONDS),
        ("flush callback", _CALLBACK),
    )
    for spelling in _three_cases(words)
}
