"""The site of the documentation: what is built, and how it looks in a browser, wide and narrow.

Zensical passes over what it does not know, so each line of zensical.toml has its effect here.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, ViewportSize, expect

from tools.browsers import Said, new_context, overflow_pixels
from tools.docs import load_builder

make_site = load_builder("make_site")
CHECKOUT = make_site.CHECKOUT
MAIN_PAGES = (
    "", "docs/tutorial/", "docs/how-to/deploy/", "docs/how-to/runbook/", "docs/how-to/console/",
    "docs/reference/settings/", "docs/reference/python/", "docs/explanation/architecture/",
)  # fmt: skip
WIDE: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
#: What a page has because of each line of the configuration.
EFFECTS = {
    "site_name": "- vwo-celery 0.", "site_description": 'name="description" content="One shared',
    "copyright": "Not made by, nor affiliated with", "nav": 'href="./docs/how-to/attach-an-sdk/"',
    "navigation.tabs": 'class="md-tabs', "navigation.top": 'class="md-top',
    "content.code.copy": '"content.code.copy"', "default": 'data-md-color-scheme="default"',
    "slate": 'data-md-color-scheme="slate"', "tables": "<table>",
    "toc": 'class="headerlink" href="#where-to-go-next"',
    "pymdownx.highlight": 'class="language-python highlight"', "pymdownx.superfences": "<pre",
}  # fmt: skip
#: Lines that are seen otherwise: where the site lies, and what it does not load.
SEEN_BY_TESTS = {"docs_dir", "site_dir", "font"}
#: How many of the given tables are wider than the screen, and do not scroll.
CUT_OFF = """tables => tables.filter(table => table.scrollWidth > innerWidth
    && getComputedStyle(table.closest(".md-typeset__scrollwrap")).overflowX !== "auto").length"""
ELEMENT = re.compile(r"<(li|ol|ul|pre|table|tr|h[1-6]|blockquote|img)\b")
CODE = re.compile(r"<pre.*?</pre>", re.DOTALL)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    if find_spec("zensical") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "no zensical here, which needs Python 3.11"
        )
    folder = tmp_path_factory.mktemp("site")
    make_site.stage(folder)
    assert make_site.build(folder) == ""
    return folder / "site"


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """URL of the site on a server of its own."""
    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *_: Any) -> None:
        """Leave the request untold."""


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    """To pages, anchors, pictures and files of the checkout; and nothing is loaded from elsewhere."""
    assert make_site.broken(site) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A missing file, a missing anchor, and a script of another host."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "index.html").write_text('<p id="a">')
    (tmp_path / "index.html").write_text(
        '<a href="there/#a"></a><a href="there/#b"></a><img src="x.png"><a href="https://a.example">'
        '<script src="https://a.example/x.js"></script>'
    )

    assert make_site.broken(tmp_path) == [
        "index.html: x.png leads nowhere", "index.html: there/#b leads nowhere",
        "index.html: loads https://a.example/x.js",
    ]  # fmt: skip


def test_each_line_of_the_configuration_has_its_effect(site: Path) -> None:
    """Zensical says nothing of a key that it does not know, or knows no longer."""
    import tomllib

    project = tomllib.loads((CHECKOUT / make_site.CONFIG).read_text("utf-8"))["project"]
    theme, extensions = project.pop("theme"), project.pop("markdown_extensions")
    lines = {*project, *theme["features"], *(each["scheme"] for each in theme["palette"]), "font"}
    lines |= {name for name in extensions if name != "pymdownx"}
    lines |= {f"pymdownx.{name}" for name in extensions["pymdownx"]}
    home = (site / "index.html").read_text("utf-8")

    assert {*theme} == {"features", "font", "palette"}
    assert lines == {*EFFECTS, *SEEN_BY_TESTS}
    assert {line for line, effect in EFFECTS.items() if effect not in home} == set()


def test_pages_are_on_the_site_what_they_are_on_github(site: Path) -> None:
    """As many headings, items, tables, blocks of code and pictures as CommonMark makes of each page."""
    commonmark = MarkdownIt().enable("table")
    differing = {}
    for page in sorted((CHECKOUT / "docs").rglob("*.md")):
        place = page.relative_to(CHECKOUT).with_suffix("")
        built = site / (place.parent if place.name == "README" else place) / "index.html"
        article = built.read_text("utf-8").partition("<article")[2].partition("</article>")[0]
        here = Counter(ELEMENT.findall(CODE.sub("<pre>", article)))
        there = Counter(
            ELEMENT.findall(CODE.sub("<pre>", commonmark.render(page.read_text("utf-8"))))
        )
        if here != there:
            differing[str(place)] = f"{here - there} too many, {there - here} missing"

    assert differing == {}


def test_pages_fit_the_screen(browser: Browser, address: str) -> None:
    """None is wider than the screen, wide tables scroll, nothing is complained of or asked of others."""
    context = new_context(browser)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    said, page = Said(context), context.new_page()
    for each in MAIN_PAGES:
        page.goto(address + each)
        expect(page.locator("article h1").first).to_be_visible()
        for size in (WIDE, PHONE):
            page.set_viewport_size(size)
            assert overflow_pixels(page) <= 0, (each, size)
            assert page.locator("article table").evaluate_all(CUT_OFF) == 0, (each, size)
    context.close()

    assert said.complaints == []
    assert [url for url in asked if not url.startswith(address)] == []


def test_the_search_finds_a_page(browser: Browser, address: str) -> None:
    """Words of a reader lead to the page that tells of them."""
    context = new_context(browser, viewport=WIDE)
    page = context.new_page()
    page.goto(address)

    # Where the dialog stands, the button is listened to; a key that is pressed earlier is lost.
    expect(page.locator("dialog")).to_be_attached()
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("combobox", name="Search")).to_be_focused()
    page.keyboard.type("redrive", delay=20)
    expect(page.get_by_role("option").filter(has_text="Dead letters").first).to_be_visible()
    context.close()
