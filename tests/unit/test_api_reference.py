"""The page of the API agrees with the code."""

from __future__ import annotations

from typing import Any

import pytest

from tools.docs import load_builder
from vwo_celery.console.actions import ACTIONS
from vwo_celery.console.api.openapi import describe
from vwo_celery.console.api.questions import QUESTIONS

builder = load_builder("build_api")
PAGE = builder.PAGE


def test_the_page_equals_the_code() -> None:
    """The page is what the code makes of it; `make docs` updates it."""
    page = PAGE.read_text(encoding="utf-8")

    assert page == builder.build(page)


def test_a_page_without_marks_is_refused() -> None:
    """A table that has lost its place is not left out silently."""
    with pytest.raises(ValueError, match="no marks for the table questions"):
        builder.build("# The API")


def test_every_question_and_every_change_is_described() -> None:
    """The OpenAPI document has each path, each with what it takes, gives and demands."""
    paths = describe()["paths"]

    asked = {f"/api/v1/{each.path}" for each in QUESTIONS}
    done = {f"/api/v1/{name}" for name in ACTIONS}
    assert {path for path, methods in paths.items() if "get" in methods} == asked
    assert {path for path, methods in paths.items() if "post" in methods} == done
    assert {each["x-right"] for methods in paths.values() for each in methods.values()} == {
        "view", "peek", "operate", "purge",
    }  # fmt: skip


def test_every_reference_leads_somewhere() -> None:
    """No schema names another one that the document does not have."""
    document = describe()

    wanted = {each.rpartition("/")[2] for each in _references(document)}
    assert wanted - {*document["components"]["schemas"]} == set()


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if "$ref" in part else []
        return own + [each for value in part.values() for each in _references(value)]
    return [each for value in part for each in _references(value)] if isinstance(part, list) else []
