"""The page on what a release may change says what is deprecated, and names only what there is."""

from __future__ import annotations

import re
from pathlib import Path

import vwo_celery

CHECKOUT = Path(__file__).parents[3]
PAGE = (CHECKOUT / "docs" / "reference" / "deprecation.md").read_text("utf-8")
PACKAGE = Path(vwo_celery.__file__).parent


def test_nothing_is_deprecated_unless_the_page_says_so() -> None:
    """Code that warns of a name's end and the page's sentence exclude each other."""
    warning = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\b(?:Pending)?DeprecationWarning\b", path.read_text("utf-8"))
    ]

    assert bool(warning) is not ("Nothing is deprecated today." in PAGE), warning


def test_bounds_have_no_top_without_a_reason() -> None:
    """What everybody installs has upper bounds only where the line before says why."""
    text = (CHECKOUT / "pyproject.toml").read_text("utf-8")
    section = text.partition("\ndependencies = [")[2].partition("\n]")[0].splitlines()
    topped = [
        line
        for before, line in zip(["", *section], section, strict=False)
        if re.search(r"<|==|~=", line.partition(";")[0]) and not before.lstrip().startswith("#")
    ]

    assert topped == []


def test_the_supported_pythons_are_those_of_the_metadata() -> None:
    """SECURITY.md names the first and the last Python of the classifiers."""
    text = (CHECKOUT / "pyproject.toml").read_text("utf-8")
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    security = (CHECKOUT / "SECURITY.md").read_text("utf-8")

    assert f"CPython {versions[0]} to {versions[-1]}" in security
    assert f'requires-python = ">={versions[0]}"' in text
