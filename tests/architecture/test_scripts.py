"""Rules for the Lua scripts: where they are, and what their headers say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vwo_celery

PACKAGE = Path(vwo_celery.__file__).parent
SCRIPTS = sorted(PACKAGE.rglob("*.lua"))
LUA_ARGUMENT = re.compile(r"\b(KEYS|ARGV)\[(\d+)\]")


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

    assert lines[0].startswith(f"-- {path.relative_to(PACKAGE / 'queue' / 'lua').as_posix()}: ")
    if path.parent.name != "shared":
        assert used <= described, f"the header does not list {sorted(used - described)}"
        assert re.search(r"^-- KEYS\[1\]", header, re.MULTILINE)
        assert re.search(r"^-- Returns ", header, re.MULTILINE)
        assert re.search(r"^-- Cost ", header, re.MULTILINE)
