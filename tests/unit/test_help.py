"""`help(vwo_celery.connect)` stands alone: each setting and batch option is told as in the reference."""

from __future__ import annotations

import pydoc
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import vwo_celery
import vwo_celery.aio
from tools.docs import load_builder
from vwo_celery import BatchEventData, Settings, SettingsArguments
from vwo_celery.relay import relay_app
from vwo_celery.settings import DjangoSettings
from vwo_celery.settings.batch_event_data import SPELLINGS

builder = load_builder("build_arguments")
REFERENCE = load_builder("build_reference").PAGE
WITH_SETTINGS = (
    vwo_celery.connect, vwo_celery.aio.connect, vwo_celery.attach, vwo_celery.init, relay_app,
    vwo_celery.setup, vwo_celery.health, Settings.load,
)  # fmt: skip
WITH_OPTIONS = WITH_SETTINGS[:5]


def plain(text: str) -> str:
    """The words of a text, without marks of Markdown and of bold print."""
    return " ".join(re.sub(r"[`*]|.\x08", "", text).split())


def rows(table: str) -> list[list[str]]:
    """The rows of a table of the reference, each as its cells."""
    page = REFERENCE.read_text("utf-8").partition(f"<!-- table: {table} -->")[2]
    lines = page.partition("<!-- end -->")[0].strip().splitlines()[2:]
    return [[plain(cell) for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize("function", WITH_SETTINGS)
def test_help_tells_each_setting(function: Callable[..., Any]) -> None:
    """Its name, meaning, range and default, in the words of the reference's table."""
    told = plain(pydoc.render_doc(function))
    table = rows("settings")

    assert len(table) == len(Settings.__struct_fields__)
    for name, _, default, allowed, _, meaning in table:
        assert f" {name}: {meaning} It must be" in told
        entry = told.partition(f" {name}: ")[2].partition(" Default: ")
        assert allowed in entry[0]
        assert entry[2].startswith(default.partition(" (")[0])
    assert "docs/" not in told


@pytest.mark.parametrize("function", WITH_OPTIONS)
def test_help_tells_each_batch_option(function: Callable[..., Any]) -> None:
    """All spellings, meaning, range and default."""
    told = plain(pydoc.render_doc(function))
    table = rows("options")

    assert [name for row in table for name in row[0].split(", ")] == list(SPELLINGS)
    for spellings, default, allowed, _, meaning in table:
        assert f"{spellings}: {meaning} It must be {allowed}. Default: {default}." in told


def test_the_types_equal_the_settings() -> None:
    """The module of the types is what the settings make of it; `make docs` updates it."""
    module = builder.MODULE.read_text("utf-8")

    assert builder.build(module) == module
    assert builder.build(module.replace("shards: int", "shards: str")) == module
    names = set(Settings.__struct_fields__)
    assert set(SettingsArguments.__annotations__) == names
    assert set(DjangoSettings.__annotations__) == names | {name.upper() for name in names}
    assert set(BatchEventData.__annotations__) == set(SPELLINGS)


def test_without_texts_it_works() -> None:
    """Under `python -OO`, which leaves no docstrings, the package is imported as ever."""
    program = "import vwo_celery, vwo_celery.aio; print(vwo_celery.connect.__doc__)"

    ran = subprocess.run(
        [sys.executable, "-OO", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert ran.stdout == "None\n"


def test_the_module_is_the_command() -> None:
    """`python -m vwo_celery` is `vwo-celery`: same commands, same exit codes."""
    asked, wrong = (
        subprocess.run(
            [sys.executable, "-m", "vwo_celery", word],
            capture_output=True, text=True, check=False, timeout=60,
        )
        for word in ("--help", "nope")
    )  # fmt: skip

    assert (asked.returncode, wrong.returncode) == (0, 2)
    assert "Usage: python -m vwo_celery" in asked.stdout
    assert "ledger" in asked.stdout
