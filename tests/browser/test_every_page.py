"""Every page of the console that a link leads to, from the first one: whole, quiet and usable by all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from playwright.sync_api import Page

from tools.axe import violations_at
from tools.browsers import DESKTOP, HEADING, Said, overflow_pixels
from tools.console_doors import Door

_NAMED = re.compile(r"(fme|legacy)-\d+-[0-9a-f]+|[0-9a-f]{20}\.[\w.+%-]+|\d+")
#: The pages of the navigation, one of a queue, of a dead letter, and the questions before actions.
FEWEST_PAGES = 11
WIDTHS = (1280, 390, 320)
SCHEMES = ("light", "dark")


def walk(page: Page, door: Door, *, with_queries: bool) -> Iterator[str]:
    """Open a page of each kind that can be reached by links alone, and yield its address once shown.

    Args:
        page: The tab.
        door: The way in.
        with_queries: Whether pages that differ in the names of their queries are of different kinds.
    """
    left, kinds = [door.url], {_kind_of(door.url, with_queries)}
    while left:
        address = left.pop(0)
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200, f"{address} answers {answer.status}"
        yield address
        for link in _links(page, door):
            kind = _kind_of(link, with_queries)
            if kind not in kinds:
                kinds.add(kind)
                left.append(link)


def _links(page: Page, door: Door) -> list[str]:
    """Addresses of the console's own pages that this one links to."""
    targets = page.locator("a[href]").evaluate_all(
        "links => links.map(link => link.getAttribute('href'))"
    )
    whole = [urldefrag(urljoin(page.url, target)).url for target in targets]
    return [each for each in whole if each.startswith(door.url) and "/static/" not in each]


def _kind_of(address: str, with_queries: bool) -> str:
    """The address without what differs between pages of one kind."""
    parts = urlsplit(address)
    names = re.sub(r"=[^&]*", "=", parts.query) if with_queries else ""
    return f"{_NAMED.sub('*', parts.path)}?{names}"


def test_every_page_is_whole_and_breaks_no_policy(
    page: Page, said: Said, door: Door, *, with_scripts: bool
) -> None:
    """Each page has a language, a title, one heading, and breaks no rule of its own policy."""
    pages = 0
    for address in walk(page, door, with_queries=door.name == "bare" and with_scripts):
        pages += 1
        assert page.locator("html").get_attribute("lang"), f"{address} has no language"
        assert page.title(), f"{address} has no title"
        assert page.locator(HEADING).count() == 1, f"{address} has not one heading"

    assert pages >= FEWEST_PAGES
    assert said.complaints == []


@pytest.mark.parametrize("door", ["bare", "django"], indirect=True)
def test_everybody_can_use_every_page(page: Page, door: Door) -> None:
    """axe-core finds nothing on any page, light and dark, on desktop and phone, and none is too wide.

    In Django's admin it looks at what is ours, with the admin's styles, on a desktop.
    """
    wrong = []
    for address in walk(page, door, with_queries=False):
        if page.locator("#vwo").count() == 0:
            continue  # the admin's own history of changes
        found = (
            violations_at(page, WIDTHS[:1], SCHEMES, "#vwo")
            if door.is_django
            else violations_at(page, WIDTHS, SCHEMES)
        )
        found += too_wide(page)
        wrong += [f"{address} at {each}" for each in found]
        page.set_viewport_size(DESKTOP)

    assert not wrong, "\n".join(wrong)


#: What reaches beyond the window, in a script's words.
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .slice(0, 8)
    .map((each) => `${each.tagName}.${each.className}: ${each.textContent.trim().slice(0, 40)}`)
    .join("; ")"""


def too_wide(page: Page) -> list[str]:
    """The widths at which the page is wider than the window."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wide = overflow_pixels(page)
        found += [f"{width} px: {wide} px too wide: {page.evaluate(TOO_WIDE)}"] if wide > 0 else []
    return found
