"""Imports point down, each library has its owner, and the architecture page shows just that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.docs import load_builder

builder = load_builder("build_architecture")
LAYERS, MODULES = builder.LAYERS, builder.MODULES
part_of, layer_of, imports, own_module = (
    builder.part_of, builder.layer_of, builder.imports, builder.own_module,
)  # fmt: skip

#: The parts that may load a library; others ask one of them.
OWNERS: dict[str, frozenset[str]] = {
    "redis": frozenset({"connections", "queue"}),
    "requests": frozenset({"sending"}),
    "urllib3": frozenset({"sending"}),
    "sqlite3": frozenset({"spool"}),
    "celery": frozenset({"celery", "signals", "demo"}),
    "kombu": frozenset({"celery"}),
    "click": frozenset({"cli", "demo", "testing"}),
    "rich": frozenset({"cli", "demo", "top"}),
    "textual": frozenset({"top"}),
    "django": frozenset({"apps", "django"}),
    "uvicorn": frozenset({"relay"}),
    "prometheus_client": frozenset({"metrics"}),
    "opentelemetry": frozenset({"otel", "tracing"}),
}


def libraries_of(module: str, path: Path) -> list[str]:
    """The libraries that a file loads; what it imports for the type checker alone is not loaded."""
    return [name.partition(".")[0] for name in imports(module, path, for_types=False)]


def wrong_imports(module: str, path: Path) -> list[str]:
    """What *module* imports from its own layer or from above."""
    wrong = []
    for name in imports(module, path):
        own = own_module(name)
        if own is None or part_of(own) == part_of(module):
            continue
        if layer_of(own) <= layer_of(module):
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("module", MODULES)
def test_every_part_has_a_layer(module: str) -> None:
    """A new part says where it stands, or the import rule would not hold for it."""
    assert layer_of(module) >= 0, f"put {part_of(module)} into LAYERS of docs/build_architecture.py"


def test_every_part_is_there() -> None:
    """LAYERS names no part that is gone."""
    parts = {part_of(module) for module in MODULES}

    assert {part for row in LAYERS for part in row} - parts == set()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """A part imports only from layers below its own."""
    wrong = wrong_imports(module, MODULES[module])

    assert not wrong, (
        f"{part_of(module) or 'vwo_celery'} may import only from the layers below its own (LAYERS "
        "in docs/build_architecture.py): move what both need down, or let the caller hand it over"
    )


#: The rooms inside of a part, from the top down: each imports only from rows below its own, rooms of one
#: row do not know each other, and the part's own modules are "".
ROOMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "cli": (("",), ("looks", "changes", "dead"), ("shared",)),
    "celery": (("worker",), ("messages", "broker"), ("",)),
    "queue": (
        ("work",),
        ("looks", "servers"),
        ("holding", "handling", "records"),
        ("",),
        ("words",),
    ),
    "relay": (("serving",), ("",), ("passing",), ("reading",), ("rules", "telling")),
    "console": (("",), ("pages", "api"), ("actions", "access", "doors", "charts"), ("shared",)),
    "top": (("",), ("screens",), ("parts",), ("looking",)),
    "operating": (("documents",), ("operations", "doctor"), ("batches", "past"), ("looks",), ("",)),
}
#: Imports that point up between rooms: `setup` gives an app the tasks, which ask it for settings.
UPWARD = {"celery.setup": ["celery.worker.background"]}


def room_of(module: str) -> str:
    """The room of a module within its part: the first package below it; "" for the part's own modules."""
    part, _, inner = module.partition(".")
    room = inner.partition(".")[0]
    return room if any(room in row for row in ROOMS.get(part, ())) else ""


def wrong_between_rooms(module: str, path: Path) -> list[str]:
    """What *module* imports of its own part, from another room that is not below its own."""
    rows = ROOMS[part_of(module)]
    floor = {room: i for i, row in enumerate(rows) for room in row}
    here = room_of(module)
    owned = {own for name in imports(module, path) if (own := own_module(name))}
    near = sorted(own for own in owned if part_of(own) == part_of(module) and room_of(own) != here)
    return [own for own in near if floor[room_of(own)] <= floor[here]]


@pytest.mark.parametrize("module", [name for name in MODULES if part_of(name) in ROOMS])
def test_imports_between_rooms_point_down(module: str) -> None:
    """The queue's changes know none of its rooms, its looks change nothing by its work, and so on."""
    assert wrong_between_rooms(module, MODULES[module]) == UPWARD.get(module, [])


@pytest.mark.parametrize("part", ROOMS)
def test_every_room_has_a_row(part: str) -> None:
    """A new folder says where it stands, and none is listed that is gone."""
    folders = {path.parent.name for path in (builder.PACKAGE / part).glob("*/__init__.py")}

    assert {room for row in ROOMS[part] for room in row} - {""} == folders


#: Modules of queue that a door may know: it opens the fleet, hands registrations over, and prints
#: the rights of roles, for which it asks Redis nothing.
OPEN_TO_DOORS = ("queue.fleet", "queue.words.registration", "queue.parts", "queue.servers.roles")
OPERATIONS = "operating.operations"


def is_door(module: str, path: Path) -> bool:
    """Whether operators come in by this module: a command, or a task or control command of Celery."""
    if part_of(module) in ("cli", "console", "django", "metrics", "otel", "top"):
        return True
    owned = [own_module(name) or "" for name in imports(module, path)]
    return part_of(module) == "celery" and any(each.startswith(OPERATIONS) for each in owned)


DOORS = [module for module, path in MODULES.items() if is_door(module, path)]


@pytest.mark.parametrize("module", DOORS)
def test_doors_know_only_operating(module: str) -> None:
    """A door translates words: what it shows and changes is in operating/, the same for every door."""
    owned = {own for name in imports(module, MODULES[module]) if (own := own_module(name))}

    queue = {own for own in owned if part_of(own) == "queue"}
    wrong = {
        own for own in queue if not any(f"{own}.".startswith(f"{each}.") for each in OPEN_TO_DOORS)
    }
    assert not wrong, "a door may not look into queue/: put it into operating/, and call that"


def test_the_import_rule_sees_imports_in_functions(tmp_path: Path) -> None:
    """An import inside a function, a relative one, or one for types only, is an import."""
    sample = tmp_path / "settings.py"
    sample.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from vwo_celery.queue.fleet import Fleet\n"
        "def f():\n"
        "    from .producing import producer\n"
        "    from vwo_celery.errors import EventError\n"
    )

    wrong = wrong_imports("settings", sample)

    assert sorted(wrong) == ["vwo_celery.producing.producer", "vwo_celery.queue.fleet.Fleet"]


@pytest.mark.parametrize("module", MODULES)
def test_libraries_have_owners(module: str) -> None:
    """Only sending/ knows an HTTP library, only spool/ a database, and so on."""
    used = set(libraries_of(module, MODULES[module]))

    wrong = {each: sorted(OWNERS[each]) for each in used & set(OWNERS)
             if part_of(module) not in OWNERS[each]}  # fmt: skip
    assert not wrong, "only these parts may load it: ask one of them"


def test_the_library_rule_leaves_types_alone(tmp_path: Path) -> None:
    """What is imported for the type checker is not loaded; what a function imports is."""
    sample = tmp_path / "sample.py"
    sample.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from celery import Celery\n"
        "def f():\n"
        "    import requests.adapters\n"
    )

    assert libraries_of("sample", sample) == ["typing", "requests"]


def test_owners_use_what_they_own() -> None:
    """OWNERS lists no part that has stopped using a library."""
    used = {
        (name, part_of(module))
        for module, path in MODULES.items()
        for name in libraries_of(module, path)
    }

    assert {(name, part) for name, parts in OWNERS.items() for part in parts} <= used


def test_the_page_shows_the_code() -> None:
    """Picture and table are those that the imports give; to mend it: `make docs`."""
    page = builder.PAGE.read_text(encoding="utf-8")

    assert builder.PICTURE.read_text(encoding="utf-8") == builder.picture()
    assert builder.build(page) == page


def test_a_change_of_the_imports_shows() -> None:
    """An import that is not there any more is replaced, and a page without marks is refused."""
    page = builder.PAGE.read_text(encoding="utf-8")
    stale = page.replace("| `event_kinds` |", "| `event_sorts` |")

    assert stale != page
    assert builder.build(stale) == page
    with pytest.raises(ValueError, match="no marks for the table"):
        builder.build("# Architecture")
