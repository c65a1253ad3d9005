"""The `flush_callback` of a queue: its import path, and the function that a worker finds there.

For the settings and for stage 6. Whoever can write to Redis can register a queue, so a
worker imports a callback only from the modules in its own `callback_modules`. No state; nothing to
lose.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from functools import cache
from importlib import import_module
from operator import attrgetter
from types import ModuleType
from typing import Any

from vwo_celery.errors import CallbackRefused, SettingsError
from vwo_celery.text.wording import shown

FlushCallback = Callable[[str | None, list[Any]], Any]


def module_refusal(path: str, callback_modules: Collection[str]) -> str:
    """Why a worker with these *callback_modules* does not call the callback at *path*; "" if it may."""
    module = path.partition(":")[0]
    if module in callback_modules:
        return ""
    return (
        f"flush_callback {path!r} is not called: this worker imports callbacks only from "
        f"{sorted(callback_modules) or 'no module'}; to allow it, add {module!r} to "
        "callback_modules (VWO_CELERY_CALLBACK_MODULES) of the workers"
    )


def find_callback(path: str, callback_modules: Collection[str]) -> FlushCallback:
    """Import the function at "module:name", if this worker may.

    Raises:
        CallbackRefused: Its module is not among *callback_modules*, or there is no such function.
    """
    module, _, name = path.partition(":")
    if refusal := module_refusal(path, callback_modules):
        raise CallbackRefused(refusal)
    try:
        found = _load(module, name)
    except Exception as exc:
        raise CallbackRefused(
            f"flush_callback {path!r} is not called: importing it raised {exc!r}"
        ) from exc
    if not callable(found):
        raise CallbackRefused(f"flush_callback {path!r} is not called: it is {type(found)}")
    return found  # type: ignore[no-any-return]


@cache
def _load(module: str, name: str) -> Any:
    return attrgetter(name)(import_module(module))


def callback_path(callback: Any) -> str:
    """Return the import path "module:name" of a callback that other processes can import.

    Args:
        callback: "module:name", "module.name", or a function at such a path; "" for none.

    Raises:
        SettingsError: No import path leads to it from another process; says what *callback* is.
    """
    if isinstance(callback, str):
        return _written_path(callback)
    if not callable(callback):
        raise SettingsError(shown(callback))
    objection = _objection(callback)
    if objection:
        raise SettingsError(objection)
    return f"{callback.__module__}:{callback.__qualname__}"


def _written_path(text: str) -> str:
    if not text:
        return ""
    module, colon, name = text.partition(":")
    if not colon:
        module, _, name = text.rpartition(".")
    if not _is_dotted_name(module) or not _is_dotted_name(name):
        raise SettingsError(shown(text))
    if module in _MAIN_MODULES:
        raise SettingsError(f"{shown(text)}, whose module is a different one in each program,")
    return f"{module}:{name}"


def _objection(callback: Any) -> str:
    """Say why no other process can import *callback*; "" if one can."""
    module = getattr(callback, "__module__", None)
    name = getattr(callback, "__qualname__", None)
    owner = getattr(callback, "__self__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return f"an object of type {type(callback).__name__}"
    for mark, kind in _NOWHERE.items():
        if mark in name:
            return kind
    if owner is not None and not isinstance(owner, ModuleType):
        return f"{name}, a method bound to an object,"
    if module in _MAIN_MODULES:
        return f"{name} of {module}, which is a different module in each program,"
    if _look_up(module, name) is not callback:
        return f"an object that {module}:{name} does not lead to"
    return ""


def _look_up(module: str, name: str) -> object:
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


#: Parts of qualified names to which no import path leads.
_NOWHERE = {"<lambda>": "a lambda", "<locals>": "a function inside a function"}
_MAIN_MODULES = ("__main__", "__mp_main__")
