"""`vwo-celery top`: the page of keys tells what the screens bind, and nothing else."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from textual.binding import Binding

from vwo_celery.top import screens
from vwo_celery.top.app import Top
from vwo_celery.top.parts.frame import Frame
from vwo_celery.top.parts.tables import Table
from vwo_celery.top.screens.help import KEYS

#: What is on a key, where Textual's name of it is another word.
SIGNS = {
    "question_mark": "?", "slash": "/", "plus": "+", "minus": "-", "enter": "Enter",
    "escape": "Escape", "left_square_bracket": "[", "right_square_bracket": "]",
}  # fmt: skip
#: Second keys for what the page tells of the first: beside Escape, and on the key of "+".
SILENT = {"backspace", "equals_sign"}


def bound() -> Iterator[tuple[str, bool]]:
    """Each key that a screen or its table binds, and whether it changes something."""
    for module in pkgutil.iter_modules(screens.__path__, f"{screens.__name__}."):
        import_module(module.name)
    for part in (Top, Table, Frame, *Frame.__subclasses__()):
        for binding in part.__dict__.get("BINDINGS", ()):
            assert isinstance(binding, Binding)
            for key in set(binding.key.split(",")) - SILENT:
                yield SIGNS.get(key, key), binding.action in getattr(part, "changes", ())


def told() -> set[tuple[str, bool]]:
    """Each key that the page tells of, and whether with the sign of one that changes something.

    A key after `g` is none of these: it leads to a screen.
    """
    rows = [row.split() for keys in KEYS.values() for row in keys]
    return {(key, "!" in row) for row in rows if row[0] != "g" for key in row if key != "!"}


def test_the_page_of_keys_tells_what_the_screens_bind() -> None:
    """A key that does something is told, with its sign if it changes something; no other is."""
    assert told() == set(bound())
