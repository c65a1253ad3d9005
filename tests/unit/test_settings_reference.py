"""The settings page says what the code does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from vwo_celery.settings import Settings
from vwo_celery.settings.batch_event_data import SPELLINGS
from vwo_celery.settings.sources import environment_variable

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference" / "settings.md"


@pytest.fixture
def builder() -> ModuleType:
    """The script that makes the page's tables."""
    spec = importlib.util.spec_from_file_location("build_reference", DOCS / "build_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_equals_the_code(builder: ModuleType) -> None:
    """To mend it: `python docs/build_reference.py`."""
    page = PAGE.read_text(encoding="utf-8")

    assert page == builder.build(page)


def test_every_setting_and_spelling_is_on_the_page() -> None:
    """Nothing that a user may write is left out."""
    page = PAGE.read_text(encoding="utf-8")

    wanted = [*Settings.__struct_fields__, *SPELLINGS]
    wanted += [environment_variable(name) for name in Settings.__struct_fields__]
    assert [name for name in wanted if f"`{name}`" not in page] == []


def test_a_change_of_the_code_shows(builder: ModuleType) -> None:
    """A table that differs by one default is replaced, and a page without marks is refused."""
    page = PAGE.read_text(encoding="utf-8")
    stale = page.replace("| `60` |", "| `61` |")

    assert stale != page
    assert builder.build(stale) == page
    with pytest.raises(ValueError, match="no marks for the table settings"):
        builder.build("# Settings")
