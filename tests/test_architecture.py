"""Rules about the code itself: who imports whom, how long a module is, what a script says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vwo_celery

PACKAGE = Path(vwo_celery.__file__).parent
TESTS = Path(__file__).parent
MOST_LINES = 400

#: Imports point from a layer to itself or to one further down in this table.
LAYERS: dict[str, tuple[str, ...]] = {
    "words": (
        "errors", "settings", "destinations", "keys", "events", "event_kinds", "outcomes", "batching",
        "setting_sources", "wording", "urls", "amounts", "marks", "receipts",
        "breaker", "batches", "sizes", "isolation",
    ),
    "edges": (
        "store", "scripts", "connections", "redis_urls", "pools", "clusters", "patience", "replication",
        "fleet", "snapshots", "sender", "deadline", "failures", "signals", "circuit", "callbacks",
        "listening", "servers", "pushes", "drops", "spool", "spool_database", "spool_files",
        "spool_pages", "capacity",
    ),
    "work": (
        "producer", "aio", "fallback", "leftovers", "flushing", "drainer", "draining", "triggers",
        "delivery", "attempts", "settling", "refusals", "worker", "leases",
        "inspector", "operations", "findings", "spool_findings", "doctor", "stalls", "lane",
    ),
    "adapters": (
        "", "__main__", "tasks", "bootstep", "setup", "cli", "sdk", "django", "testing", "demo",
        "relay", "stopping", "publishing",
    ),
}  # fmt: skip
ORDER = list(LAYERS)

#: What a layer must never import, wherever in a module: words do no I/O, only adapters know Celery.
FOREIGN_TO: dict[str, frozenset[str]] = {
    "words": frozenset(
        {"celery", "kombu", "redis", "requests", "urllib3", "socket", "sqlite3", "subprocess"}
    ),
    "edges": frozenset({"celery", "kombu", "click", "rich", "django"}),
    "work": frozenset({"celery", "kombu", "click", "rich", "django", "requests"}),
    "adapters": frozenset(),
}
#: (importing module, imported module) that the tables refuse and that is right, and why.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("signals", "celery"): "signals are Celery's own, so that they look like those users know",
}

LUA_ARGUMENT = re.compile(r"\b(KEYS|ARGV)\[(\d+)\]")


def modules() -> dict[str, Path]:
    """Dotted name within the package ("" is the package itself) to file."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__")] = path
    return names


MODULES = modules()
SCRIPTS = sorted(PACKAGE.rglob("*.lua"))


def layer_of(module: str) -> str:
    """The layer of a module, told by its first name; "" if none was assigned."""
    first = module.split(".", maxsplit=1)[0]
    return next((layer for layer, members in LAYERS.items() if first in members), "")


def rank_of(module: str) -> int:
    """How high a module stands; one without a layer, which another test reports, stands lowest."""
    return ORDER.index(layer_of(module) or ORDER[0])


def imports(module: str, path: Path) -> Iterator[str]:
    """Every name that *module* imports, absolute, wherever in the module that is."""
    package = path.name == "__init__.py"
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = ["vwo_celery", *module.split(".")][: None if package else -1]
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*(part for part in kept if part), *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def own_module(name: str) -> str | None:
    """Which of our modules an imported name means; None if it is not ours."""
    if name != "vwo_celery" and not name.startswith("vwo_celery."):
        return None
    inner = name.removeprefix("vwo_celery").removeprefix(".")
    while inner and inner not in MODULES:
        inner = inner.rpartition(".")[0]
    return inner


def wrong_imports(module: str, path: Path) -> list[str]:
    """What *module* imports against the rules."""
    layer = layer_of(module)
    if not layer:
        return []
    wrong = []
    for name in imports(module, path):
        own = own_module(name)
        if own is None:
            foreign = name.split(".")[0]
            refused = foreign in FOREIGN_TO[layer] and (module, foreign) not in EXCEPTIONS
        else:
            refused = rank_of(own) > rank_of(module) and (module, own) not in EXCEPTIONS
        if refused:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_layer(module: str) -> None:
    """A new module says where it stands, or the import rule would not hold for it."""
    assert layer_of(module), f"assign {module} to a layer in LAYERS"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    """Adapters import work, work imports edges, edges import words, and never the other way."""
    assert not wrong_imports(module, MODULES[module])


def test_the_import_rule_sees_imports_in_functions(tmp_path: Path) -> None:
    """An import inside a function, or a relative one, is an import."""
    sample = tmp_path / "settings.py"
    sample.write_text(
        "def f():\n"
        "    import redis\n"
        "    from .store import Shard\n"
        "    from vwo_celery import producer\n"
    )

    wrong = wrong_imports("settings", sample)

    assert sorted(wrong) == ["redis", "vwo_celery.producer", "vwo_celery.store.Shard"]


def test_exceptions_are_in_use() -> None:
    """An exception that nothing needs any more is taken out of the table."""
    used = {
        (module, own_module(name) or name.split(".")[0])
        for module, path in MODULES.items()
        for name in imports(module, path)
    }

    assert set(EXCEPTIONS) <= used


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module: str) -> None:
    """A module that has outgrown one reading is two modules."""
    lines = len(MODULES[module].read_text("utf-8").splitlines())

    assert lines <= MOST_LINES


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_pickled(module: str) -> None:
    """What comes out of Redis is data: whoever can write there must not get to run code here."""
    picklers = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}

    assert not picklers & {name.split(".")[0] for name in imports(module, MODULES[module])}


def sleeps(path: Path) -> list[int]:
    """Lines of *path* that wait for a time instead of a condition."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            lines += [node.lineno for alias in node.names if alias.name == "sleep"]
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "time.sleep", "asyncio.sleep", "gevent.sleep",
        ):  # fmt: skip
            zero = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            lines += [] if zero else [node.lineno]
    return lines


def test_tests_do_not_sleep(tmp_path: Path) -> None:
    """Tests wait for a condition with a deadline; any fixed time is too short somewhere."""
    sample = tmp_path / "sample.py"
    sample.write_text("import time\ntime.sleep(1)\nfrom time import sleep\nasyncio.sleep(0)\n")

    found = {str(path): sleeps(path) for path in TESTS.rglob("*.py")}

    assert sleeps(sample) == [3, 2]
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_the_scripts_are_where_the_package_is() -> None:
    """The .lua files come with the package, from a checkout and from a wheel alike."""
    assert {path.stem for path in SCRIPTS} >= {"enqueue", "claim", "ack", "release", "dead_letter"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_open_with_their_header(path: Path) -> None:
    """A script says what it changes, its keys and arguments, what it returns and what it costs."""
    lines = path.read_text("utf-8").splitlines()
    header = "\n".join(
        lines[: next(i for i, text in enumerate(lines) if not text.startswith("-- "))]
    )
    code = "\n".join(lines[header.count("\n") + 1 :])
    used = {match.group() for match in LUA_ARGUMENT.finditer(code)}
    described = {match.group() for match in LUA_ARGUMENT.finditer(header)}

    assert lines[0].startswith(f"-- {path.relative_to(PACKAGE / 'lua').as_posix()}: ")
    if path.parent.name != "shared":
        assert used <= described, f"the header does not list {sorted(used - described)}"
        assert re.search(r"^-- KEYS\[1\]", header, re.MULTILINE)
        assert re.search(r"^-- Returns ", header, re.MULTILINE)
        assert re.search(r"^-- Cost ", header, re.MULTILINE)


@pytest.mark.parametrize("module", ["vwo_celery", "vwo_celery.producer", "vwo_celery.aio"])
def test_a_producer_is_light(module: str) -> None:
    """A web process that only enqueues imports neither Celery nor requests, nor what they bring."""
    heavy = {"celery", "kombu", "requests", "django", "click", "rich"}
    program = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )

    assert ran.stdout.split() == []
