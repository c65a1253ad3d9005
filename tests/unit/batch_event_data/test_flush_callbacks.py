"""batch_event_data: a callback is named by its import path; one without is left out."""

from __future__ import annotations

import functools
import sys
from typing import Any

import pytest

from tools.batch_options import HERE, REAL_TIME, Reports, on_flush, on_flush_async
from vwo_celery.errors import SettingsError
from vwo_celery.settings.batch_event_data import BatchSettings, parse_batch_event_data
from vwo_celery.settings.callbacks import callback_path


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
