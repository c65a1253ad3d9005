"""Whoever writes to Redis chooses a `flush_callback`, but only among what allowed modules define."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vwo_celery.errors import CallbackRefused
from vwo_celery.settings.callbacks import find_callback

ALLOWED = ("callback_shop", "callback_partner")
INIT = """
import functools
import json as encoder
import os
import os.path
from os import environ, execvp
from callback_elsewhere import Base, plain, register
from callback_partner import shared
from callback_shop import reports
from callback_shop.reports import on_report
try:
    from os import getcwd as here
except ImportError:
    here = None

def on_flush(error, events):
    return "on_flush"

@plain
def decorated(error, events):
    return "decorated"

class Handlers(Base):
    system = os.system

    @staticmethod
    def on_flush(error, events):
        return "Handlers.on_flush"

    def __call__(self, error, events):
        return "instance"

    def method(self, error, events):
        return "method"

    class Inner:
        @classmethod
        def on_flush(cls, error, events):
            return "Inner.on_flush"

handler = Handlers()
bound = handler.method
partial = functools.partial(on_flush)
if True:
    chosen = register
settings = dict(a=1)
"""
ELSEWHERE = """
class Base:
    def inherited(self, events):
        return "inherited"

def plain(function):
    def replaced(error, events):
        return function(error, events)
    return replaced

def register(error, events):
    return "register"
"""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package, whose module imports and defines names in every way, and what it imports."""
    package = tmp_path / "callback_shop"
    package.mkdir()
    (package / "__init__.py").write_text(INIT)
    (package / "reports.py").write_text("def on_report(error, events):\n    return 'report'\n")
    (tmp_path / "callback_partner.py").write_text(
        "def shared(error, events):\n    return 'shared'\n"
    )
    (tmp_path / "callback_elsewhere.py").write_text(ELSEWHERE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.startswith("callback_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("on_flush", "on_flush"),
        ("decorated", "decorated"),
        ("Handlers.on_flush", "Handlers.on_flush"),
        ("Handlers.Inner.on_flush", "Inner.on_flush"),
        ("handler", "instance"),
        ("handler.method", "method"),
        ("bound", "method"),
        ("partial", "on_flush"),
        ("chosen", "register"),
        ("on_report", "report"),
        ("shared", "shared"),
    ],
)
def test_what_a_module_defines_may_be_called(name: str, answer: str) -> None:
    """Its functions, classes, instances and assignments, and what it takes from allowed modules."""
    assert find_callback(f"callback_shop:{name}", ALLOWED)(None, []) == answer


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("os", "callback_shop:os is the module os"),
        ("os.execvp", "callback_shop:os is the module os"),
        ("os.environ.setdefault", "callback_shop:os is the module os"),
        ("encoder.dumps", "callback_shop:encoder is the module json"),
        ("reports.on_report", "callback_shop:reports is the module callback_shop.reports"),
        ("execvp", "callback_shop:execvp comes from os"),
        ("here", "callback_shop:here comes from posix"),
        ("environ.setdefault", "callback_shop:environ comes from os"),
        ("register", "callback_shop:register comes from callback_elsewhere"),
        ("Handlers.inherited", "callback_shop:Handlers.inherited comes from callback_elsewhere"),
        ("Handlers.system", "callback_shop:Handlers.system comes from posix"),
        ("Handlers.__subclasses__", "callback_shop:Handlers.__subclasses__ is an object of"),
        ("on_flush.__globals__.setdefault", "callback_shop:on_flush.__globals__ is an object of"),
        ("partial.func.__globals__.get", "callback_shop:partial.func.__globals__ is an object of"),
        ("settings.setdefault", "callback_shop:settings.setdefault is an object of"),
    ],
)
def test_what_a_module_imported_is_refused(name: str, told: str) -> None:
    """A path through an import would lead to any function of the process; the error says where."""
    with pytest.raises(CallbackRefused) as refused:
        find_callback(f"callback_shop:{name}", ALLOWED)

    assert told in str(refused.value)
    assert "define a function there that calls it" in str(refused.value)
    assert refused.value.__cause__ is None, "no import can mend it: doctor calls it a problem"


def test_what_another_module_defines_needs_that_module() -> None:
    """A name taken from a module that is not allowed works once that module is."""
    path = "callback_shop:register"

    with pytest.raises(CallbackRefused):
        find_callback(path, ALLOWED)
    found = find_callback(path, (*ALLOWED, "callback_elsewhere"))

    assert found(None, []) == "register"


def test_a_module_without_source_offers_what_it_defines() -> None:
    """Of an extension only what says that it is the module's own is called."""
    assert find_callback("_json:scanstring", ("_json",))

    with pytest.raises(CallbackRefused, match="comes from"):
        find_callback("json:JSONDecodeError.__init__.__class__", ("json",))
