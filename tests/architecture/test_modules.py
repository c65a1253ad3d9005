"""Rules for each module: its length, its loggers, what it must not do; and for tests: no sleep."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.docs import load_builder

builder = load_builder("build_architecture")
MODULES = builder.MODULES
TESTS = Path(__file__).parents[1]
MOST_LINES = 400

#: The modules that may ask for a logger: ours are made in one, the other filters what Celery logs.
LOGGERS = frozenset({"logs", "celery.quiet"})
#: The modules that may import by name: the users' callbacks, a command when it is typed, VWO's SDKs.
IMPORTERS = frozenset({"settings.callbacks", "cli", "sdk.builder", "sdk.releases"})
#: The modules that may take URLs apart: those of Redis in one of them, the others HTTP's.
URL_READERS = frozenset(
    {
        "settings.redis_url",
        "destinations.destination",
        "destinations.parts",
        "testing.standin.rules",
        "tracing.attempts",  # the URL of a POST
    }
)
#: The packages with files to describe: all but the one on top, whose parts the page shows, and
#: Django's folder of commands.
PACKAGES = sorted(
    path
    for path in MODULES.values()
    if path.name == "__init__.py" and path.parent.name not in ("vwo_celery", "commands")
)


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module: str) -> None:
    """A module that has outgrown one reading is two modules."""
    lines = len(MODULES[module].read_text("utf-8").splitlines())

    assert lines <= MOST_LINES


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.parent.name)
def test_packages_list_their_files(path: Path) -> None:
    """A package's docstring names each of its files, so that a reader knows where to begin."""
    described = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    files = {each.stem for each in path.parent.glob("[!_]*.py")}

    unnamed = sorted(name for name in files if f"`{name}`" not in described)
    assert not unnamed, f"say in {path.parent.name}/__init__.py what these are for"


def calls(path: Path) -> set[str]:
    """The names of the functions that a file calls, without what they are attributes of."""
    tree = ast.parse(path.read_text("utf-8"))
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {ast.unparse(each).rpartition(".")[2] for each in called}


def test_loggers_are_made_in_one_place() -> None:
    """Every module logs through vwo_celery.logs, where all lines can get one form."""
    ways = {"getLogger", "getChild", "Logger", "LoggerAdapter", "get_logger", "get_task_logger"}
    making = {module for module, path in MODULES.items() if ways & calls(path)}

    assert making == LOGGERS


def test_waits_are_measured_by_a_clock_that_runs() -> None:
    """A test that freezes time (freezegun) must not make a wait of ours last for ever."""
    asking = {
        module
        for module, path in MODULES.items()
        if builder.part_of(module) not in {"testing", "demo"}
        and re.search(r"\btime\.(monotonic|perf_counter)|from time import", path.read_text("utf-8"))
    }

    assert asking == {"clocks", "logs"}  # the log keeps the real one as its default


def test_few_modules_import_by_name() -> None:
    """The rule of the layers does not see a module that is imported by a text."""
    ways = {"import_module", "__import__", "locate", "resolve_name", "import_string"}
    importing = {module for module, path in MODULES.items() if ways & calls(path)}

    assert importing == IMPORTERS


def takes_urls_apart(path: Path) -> bool:
    """Whether a file splits text at "://", or has urllib do it."""
    splits = re.compile(r"\.r?(split|partition)\((['\"])(://|\+)\2")
    return bool({"urlsplit", "urlparse"} & calls(path) or splits.search(path.read_text("utf-8")))


def test_redis_urls_are_taken_apart_in_one_place() -> None:
    """Sentinel, Cluster, sockets and passwords with commas are understood by every module alike."""
    assert {name for name, path in MODULES.items() if takes_urls_apart(path)} == URL_READERS


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_pickled(module: str) -> None:
    """Bytes from Redis are data: whoever can write there must not get to run code here."""
    picklers = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}

    assert not picklers & {
        name.partition(".")[0] for name in builder.imports(module, MODULES[module])
    }


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


@pytest.mark.parametrize(
    "module", ["vwo_celery", "vwo_celery.producing.producer", "vwo_celery.aio", "vwo_celery.relay"]
)
def test_a_producer_is_light(module: str) -> None:
    """A web process that enqueues, or mounts the relay, imports neither Celery nor requests."""
    heavy = {"celery", "kombu", "requests", "django", "click", "rich"}
    program = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )

    assert ran.stdout.split() == []
