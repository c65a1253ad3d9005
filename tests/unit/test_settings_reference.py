"""The settings page agrees with the code."""

from __future__ import annotations

import pytest

from tools.docs import load_builder
from vwo_celery.settings import Settings
from vwo_celery.settings.batch_event_data import SPELLINGS
from vwo_celery.settings.redis_options import OPTIONS
from vwo_celery.settings.sources import environment_variable

builder = load_builder("build_reference")
PAGE = builder.PAGE


def test_the_page_equals_the_code() -> None:
    """The page equals the code; `make docs` updates it."""
    page = PAGE.read_text(encoding="utf-8")

    assert page == builder.build(page)


def test_every_setting_and_spelling_is_on_the_page() -> None:
    """Every setting, every spelling and every option of a URL is on the page."""
    page = PAGE.read_text(encoding="utf-8")

    wanted = [*Settings.__struct_fields__, *SPELLINGS, *OPTIONS]
    wanted += [environment_variable(name) for name in Settings.__struct_fields__]
    assert [name for name in wanted if f"`{name}`" not in page] == []


def test_a_change_of_the_code_shows() -> None:
    """A table that differs by one default is replaced, and a page without marks is refused."""
    page = PAGE.read_text(encoding="utf-8")
    stale = page.replace("| `60` |", "| `61` |")

    assert stale != page
    assert builder.build(stale) == page
    with pytest.raises(ValueError, match="no marks for the table settings"):
        builder.build("# Settings")
