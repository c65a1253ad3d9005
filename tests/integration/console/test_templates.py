"""The files that the console's pages are made of: no script in a template, a short one beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vwo_celery.console
from vwo_celery.console.pages import PAGES

TEMPLATES = Path(vwo_celery.console.__file__).parent / "templates"
STATIC = TEMPLATES.parent / "static"


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_templates_hold_no_script_no_style_and_no_handler(path: Path) -> None:
    """Nothing in a page needs an exception from the policy."""
    text = path.read_text("utf-8")

    assert not re.findall(r"\sstyle\s*=|<style|\son\w+\s*=|javascript:|\|\s*safe", text)
    assert all(
        not body.strip() for body in re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    )


def test_pages_are_small_and_the_script_is_short() -> None:
    """The script is one that somebody reads in a sitting, and evaluates no text."""
    script = (STATIC / "console.js").read_text("utf-8")

    assert len(script.splitlines()) <= 120
    assert not re.findall(r"\beval\b|innerHTML|new Function|document\.write", script)


def test_every_page_can_be_found() -> None:
    """No two pages have one path."""
    paths = [route.path for route in PAGES]

    assert len(paths) == len(set(paths))
