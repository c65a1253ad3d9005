"""Every command named in a message, a docstring or a page exists for its reader."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

import vwo_celery
from vwo_celery.cli import main

ROOT = Path(__file__).parents[2]
PACKAGE = Path(vwo_celery.__file__).parent
#: Files whose readers have a checkout or an older release; all others have only the package.
OF_A_CHECKOUT = {"workers", "compose", "CHANGELOG.md"}
#: Names of the reader's own apps, in pages and examples.
READERS_APPS = {"shop", "mysite", "worker", "yourapp"}
CELERY_APP = re.compile(r"celery,? -A,? ([\w.]+),? (?:worker|beat)")
MODULE = re.compile(r"python,? -m,? ([\w.]+)")
WORDS = re.compile(
    r"(?:(?<!pip install )vwo-celery|manage\.py vwo_celery(?: --settings [\w.]+)?)"
    r"((?: (?:--?)?[a-z][a-z-]*)+)"
)
#: The parts of a page to type: blocks and spans of code.
TYPED = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *(path for folder in ("docs", "examples", "workers", "compose") for path in
      sorted((ROOT / folder).rglob("*.md"))),
]  # fmt: skip
SOURCES = [
    *sorted(PACKAGE.rglob("*.py")),
    *(path for folder in ("workers", "examples") for path in sorted((ROOT / folder).rglob("*.py"))),
]
CONFIGURATIONS = [ROOT / "compose" / name for name in ("compose.yaml", "Dockerfile")]


def place(path: Path) -> str:
    """The path of a file in the checkout or the package."""
    root = PACKAGE.parent if PACKAGE in path.parents else ROOT
    return path.relative_to(root).as_posix()


def texts(path: Path) -> Iterator[str]:
    """The texts to search: all of a configuration, the code of a page, the strings of a source."""
    whole = path.read_text("utf-8")
    if path.suffix == ".md":
        yield from TYPED.findall(whole)
    elif path.suffix == ".py":
        for node in ast.walk(ast.parse(whole)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
    else:
        yield whole.replace('"', "")


def missing(text: str, *, checkout: bool) -> list[str]:
    """The commands that *text* names and that do not exist."""
    apps = [name for name in CELERY_APP.findall(text) if name not in READERS_APPS]
    modules = [name for name in MODULE.findall(text) if name.startswith(("vwo_celery", "workers"))]
    lost = [name for name in apps + modules if not there(name, checkout=checkout)]
    return lost + [words for words in WORDS.findall(text) if not understood(words.split())]


def there(module: str, *, checkout: bool) -> bool:
    """Whether the reader has the named module of ours."""
    if not module.startswith("vwo_celery") and not checkout:
        return False
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def understood(words: list[str]) -> bool:
    """Whether the command line has this command and the options that follow it."""
    command: click.Command = main
    context = click.Context(main)
    for word in words:
        if word.startswith("-"):
            known = {name for each in command.params for name in each.opts}
            if word not in {*known, "--help"}:
                return False
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None:
                return False
            command = found
        else:
            break  # a value, or the rest of the sentence
    return True


@pytest.mark.parametrize("path", [*PAGES, *SOURCES, *CONFIGURATIONS], ids=place)
def test_named_commands_exist(path: Path) -> None:
    """Every command in a remedy or on a page exists."""
    checkout = place(path).partition("/")[0] in OF_A_CHECKOUT

    assert not [lost for text in texts(path) for lost in missing(text, checkout=checkout)]


@pytest.mark.parametrize(
    "text",
    [
        "celery -A workers.app worker", "celery -A vwo_celery.app beat", "celery -A stop worker",
        "python -m vwo_celery.health", "python -m workers.health", "see: vwo-celery deaths list",
        "vwo-celery dead lists", "vwo-celery health --beats", "manage.py vwo_celery stat",
    ],
)  # fmt: skip
def test_a_command_that_is_not_there_is_noticed(text: str) -> None:
    """A command that is misspelt, was moved, or exists only in a checkout is found."""
    assert len(missing(text, checkout=False)) == 1


def helps(command: click.Command, context: click.Context) -> Iterator[str]:
    """The help of a command and of all beneath it."""
    yield command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from helps(found, click.Context(found, context, name))


def test_help_fits_every_way_in() -> None:
    """`--help` names other commands without the program, which is typed otherwise in Django."""
    texts = list(helps(main, click.Context(main, info_name="manage.py")))

    assert len(texts) > len(main.list_commands(click.Context(main)))
    named = [line for text in texts for line in text.splitlines() if "vwo-celery " in line]
    assert [line for line in named if "vwo-celery completion" not in line] == []


def test_all_that_name_commands_are_read() -> None:
    """The search finds commands in sources, pages and configurations."""
    naming = {
        place(path)
        for path in (*PAGES, *SOURCES, *CONFIGURATIONS)
        if any(CELERY_APP.search(text) or WORDS.search(text) for text in texts(path))
    }

    assert {
        "vwo_celery/queue/work/flushing.py",
        "docs/how-to/operate.md", "workers/README.md", "compose/compose.yaml",
    } <= naming  # fmt: skip
