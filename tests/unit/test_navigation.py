"""The navigation of the site names every page of docs/ once, and nothing that is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tools.docs import DOCS, load_builder

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML; the site needs it anyway")
CHECKOUT = DOCS.parent
site = load_builder("make_site")


def pages_of(entry: Any) -> Iterator[str]:
    """The pages of an entry of the navigation, and of those below it."""
    if isinstance(entry, str):
        yield entry
    else:
        for each in entry.values() if isinstance(entry, dict) else entry:
            yield from pages_of(each)


@pytest.fixture
def project() -> dict[str, Any]:
    """The configuration as Zensical is given it."""
    text = (CHECKOUT / site.CONFIG).read_text("utf-8")
    return tomllib.loads(site.configured(text, CHECKOUT))["project"]


def test_every_page_is_in_the_navigation_once(project: dict[str, Any]) -> None:
    """A page that nobody can find from the others would not be read; Zensical itself says nothing."""
    named = Counter(pages_of(project["nav"]))
    there = {path.relative_to(CHECKOUT).as_posix() for path in DOCS.rglob("*.md")}

    assert there - {*named} == set(), "a new page has its line in zensical.toml"
    assert [page for page, times in named.items() if times > 1] == []
    assert [page for page in named if not (CHECKOUT / page).is_file()] == []


def test_the_index_for_readers_on_github_names_every_page() -> None:
    """docs/README.md, which stands for the navigation on GitHub, links each page but single decisions."""
    index = (DOCS / "README.md").read_text("utf-8")
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    decisions = {page for page in pages if page.startswith("decisions/0")}

    assert {page for page in pages - decisions - {"README.md"} if f"({page})" not in index} == set()


def test_the_site_tells_the_version(project: dict[str, Any]) -> None:
    """Its name carries the release that it describes."""
    import vwo_celery

    assert project["site_name"] == f"vwo-celery {vwo_celery.__version__}"
