"""The page of the Python API agrees with the code, and leaves out nothing that may be imported."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import vwo_celery
from tools.docs import DOCS, load_builder

builder = load_builder("build_python")
PAGE = builder.PAGE
PACKAGE = Path(vwo_celery.__file__).parent
IMPORT = re.compile(r"^from (vwo_celery[\w.]*) import \(?([\w, ]+)", re.MULTILINE)
ATTRIBUTE = re.compile(r"\b(vwo_celery(?:\.\w+)*)\.(\w+)\(")
#: Public names that the page leaves to others: words of types, and the console's own parts.
LEFT_OUT = {"Authorise", "Change", "Console", "Page", "ROLES", "Response", "Right"}


def test_the_page_equals_the_code() -> None:
    """The page is what the code makes of it; `make docs` updates it."""
    page = PAGE.read_text(encoding="utf-8")

    assert page == builder.build(page)


def test_every_public_name_has_its_place() -> None:
    """Each name of a public module's `__all__` is on the page."""
    for room in builder.ROOMS:
        public = set(getattr(importlib.import_module(room.module), "__all__", room.names))
        shown = {*(room.names or public), *LEFT_OUT, *importlib.import_module("vwo_celery").__all__}

        assert public - shown == set(), room.module


def test_pages_import_what_the_reference_names() -> None:
    """What the pages of docs/ tell a reader to import or to call is promised by this page."""
    modules = {room.module for room in builder.ROOMS}
    promised = {(room.module, name) for room in builder.ROOMS for name in _names(room)}
    promised |= {("vwo_celery.signals", name) for name in _signals()}
    promised |= {("vwo_celery.celery.app", "app")}  # the ready app, as `celery -A` takes it
    named = set()
    for path in [*DOCS.glob("*.md"), *DOCS.glob("how-to/*.md"), DOCS.parent / "README.md"]:
        text = path.read_text("utf-8")
        named |= {(module, name) for module, names in IMPORT.findall(text)
                  for name in re.findall(r"\w+", names)}  # fmt: skip
        named |= {each for each in ATTRIBUTE.findall(text) if each[0] in modules}

    assert len(named) > 20
    modules_too = {(module, name) for module, name in named if f"{module}.{name}" in modules}
    assert named - promised - modules_too == set()


def _names(room: object) -> tuple[str, ...]:
    module = importlib.import_module(room.module)
    return (*room.names, *getattr(module, "__all__", ()))


def _signals() -> set[str]:
    from celery.utils.dispatch import Signal

    module = importlib.import_module("vwo_celery.signals")
    return {name for name, thing in vars(module).items() if isinstance(thing, Signal)}
