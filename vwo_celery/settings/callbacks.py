"""The `flush_callback` of a queue: its import path, and the function that a worker finds there.

For the settings and for stage 6. Whoever can write to Redis can register a queue, so a
worker imports a callback only from the modules in its own `callback_modules`, and of these only what
they define: a path through what they import, such as "shop:os.execvp", leads to any function that the
process has. No state; nothing to lose.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Collection, Iterator
from functools import cache
from importlib import import_module
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
        CallbackRefused: Its module is not among *callback_modules*, does not define it, or there is
            no such function.
    """
    module, _, name = path.partition(":")
    if refusal := module_refusal(path, callback_modules):
        raise CallbackRefused(refusal)
    try:
        found = _load(module, name, tuple(callback_modules))
    except CallbackRefused:
        raise
    except Exception as exc:
        raise CallbackRefused(
            f"flush_callback {path!r} is not called: importing it raised {exc!r}"
        ) from exc
    if not callable(found):
        raise CallbackRefused(f"flush_callback {path!r} is not called: it is {type(found)}")
    return found  # type: ignore[no-any-return]


@cache
def _load(module: str, name: str, allowed: tuple[str, ...]) -> Any:
    """Follow *name* from the module on, through nothing that an allowed module does not define."""
    found: Any = import_module(module)
    way = module
    for number, part in enumerate(name.split(".")):
        found = getattr(found, part)
        way = f"{way}{'.' if number else ':'}{part}"
        named_by_module = number == 0 and part in _own_names(module)
        if isinstance(found, ModuleType) or not (_is_of(found, allowed) or named_by_module):
            raise CallbackRefused(_foreign(f"{module}:{name}", way, found))
    return found


def _is_of(found: Any, allowed: tuple[str, ...]) -> bool:
    """Whether a function, class or instance was defined in an allowed module, or inside one."""
    origin = getattr(found, "__module__", None)
    return isinstance(origin, str) and any(
        origin == each or origin.startswith(f"{each}.") for each in allowed
    )


def _foreign(path: str, way: str, found: Any) -> str:
    origin = getattr(found, "__module__", None)
    what = f"is the module {found.__name__}" if isinstance(found, ModuleType) else (
        f"comes from {origin}" if isinstance(origin, str) else f"is an object of {type(found)}"
    )  # fmt: skip
    return (
        f"flush_callback {path!r} is not called: {way} {what}, and a worker calls only what a module "
        "among its callback_modules (VWO_CELERY_CALLBACK_MODULES) defines itself; define a function "
        "there that calls it"
    )


@cache
def _own_names(module: str) -> frozenset[str]:
    """Names that a module's source binds by def, class or assignment, and not by import."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError):  # an extension, or a module without its source
        return frozenset()
    bound, imported = set(), set()
    for node in _statements(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            imported |= {each.asname or each.name.partition(".")[0] for each in node.names}
    return frozenset(bound - imported)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Everything in *node* that runs at the level of the module."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, _SCOPES):
            yield from _statements(child)


_SCOPES = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip


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
