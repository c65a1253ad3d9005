"""Tests as a user of the package writes them, run by a pytest of their own with our plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest_vwo_celery

PLUGIN = pytest_vwo_celery.__name__
_TIMEOUT_SECONDS = 240
_EXAMPLE = re.compile(
    r"^(?:<!-- in: ([^\n]+) -->\n)?```python\n(?=# (\S+\.py)$)(.*?)^```$", re.MULTILINE | re.DOTALL
)
#: Where the plugin and the package lie, for a checkout that is not installed.
_FOLDER = Path(pytest_vwo_celery.__file__).parent


def run_tests(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder of a user's; returns what it wrote, and how it ended.

    The plugin is named, since a checkout has no entry point; where it has one, this changes nothing.
    """
    path = [str(folder), str(_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "COLUMNS": "200", **(env or {})},
    )  # fmt: skip


def passed(ended: subprocess.CompletedProcess[str]) -> int:
    """The number of tests that passed, all of them."""
    assert ended.returncode == 0, ended.stdout + ended.stderr
    last = ended.stdout.strip().splitlines()[-1]
    return int(last.split(" passed")[0].split()[-1])


def examples(page: Path) -> dict[str, dict[str, str]]:
    """The examples of a page that are files: by the place that a comment before one names, and by name.

    A file's first line is a comment with its name. "" is the place of examples without such a comment.
    """
    found: dict[str, dict[str, str]] = {}
    for place, name, text in _EXAMPLE.findall(page.read_text("utf-8")):
        found.setdefault(place, {})[name] = text
    return found


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a folder."""
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
