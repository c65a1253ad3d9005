"""Take a part of an SDK away for a while, as a release would lack it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without(holder: Any, name: str) -> Iterator[None]:
    """While this lasts, a module, class or object has no attribute *name*, nor do its bases."""
    kind = holder if isinstance(holder, type) else type(holder)
    places = [place for place in (holder, *kind.__mro__) if name in vars(place)]
    taken = [(place, vars(place)[name]) for place in dict.fromkeys(places)]
    assert taken, f"{holder} has no {name}, so it cannot be taken away"
    for place, _ in taken:
        delattr(place, name)
    try:
        yield
    finally:
        for place, value in taken:
            setattr(place, name, value)
