"""The `flush_callback` of a queue, found by its import path and called in the worker.

Place: an edge, beside the signals. Who can write to Redis can register a queue, so that a worker
imports a callback only from the modules that its own `callback_modules` names. A callback is called
once for each try, after the batch is settled; what it raises is logged and counted and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import cache
from importlib import import_module
from operator import attrgetter
from typing import Any

from vwo_celery.errors import CallbackRefused

log = logging.getLogger("vwo_celery")

FlushCallback = Callable[[str | None, list[Any]], Any]


def find_callback(path: str, callback_modules: Collection[str]) -> FlushCallback:
    """The function at "module:name", if this worker may import it.

    Raises:
        CallbackRefused: Its module is not among *callback_modules*, or there is no such function.
    """
    module, _, name = path.partition(":")
    if module not in callback_modules:
        raise CallbackRefused(
            f"flush_callback {path!r} is not called: this worker imports callbacks only from "
            f"{sorted(callback_modules) or 'no module'}; to allow it, add {module!r} to "
            "callback_modules (VWO_CELERY_CALLBACK_MODULES) of the workers"
        )
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
