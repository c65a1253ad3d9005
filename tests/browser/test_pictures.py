"""The pictures of the documentation: each is there, is shown somewhere, and is of the pages of today."""

from __future__ import annotations

from pathlib import Path

from browser.pictures import MADE_FROM, PICTURES, digest

DOCS = Path(__file__).parents[2] / "docs"


def test_pictures_are_of_the_pages_of_today() -> None:
    """Whoever changes what a page looks like runs `make pictures`."""
    made_from = (DOCS / "pictures" / MADE_FROM).read_text().strip()

    assert made_from == digest(), "the console looks otherwise now: make pictures, and look at them"


def test_every_picture_is_made_and_shown() -> None:
    """The folder holds the pictures that the script takes, no other, and a page shows each of them."""
    there = {path.stem for path in (DOCS / "pictures").glob("*.png")}
    pages = "\n".join(path.read_text() for path in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"])

    assert there == {each.name for each in PICTURES}
    assert {name for name in there if f"pictures/{name}.png" not in pages} == set()
