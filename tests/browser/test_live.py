"""A page that stays open: it keeps itself new, obeys keys, and keeps what somebody does on it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from browser.test_actions import open_queue
from tools.browsers import Said, overflow_pixels
from tools.console_doors import Door
from tools.troubled_fleet import FAILING, PAUSED, TroubledFleet

pytestmark = pytest.mark.parametrize("door", ["bare"], indirect=True)

#: Smallest side of what is meant to be touched on a phone, px.
TOUCHED_PIXELS = 44
KEYS = {"o": "", "d": "dead", "w": "workers", "s": "settings", "a": "audit", "i": "about"}


def test_an_open_page_shows_what_happens(page: Page, said: Said, fleet: TroubledFleet) -> None:
    """A new queue appears by itself, and what was opened, focused and scrolled to stays so."""
    page.get_by_label("Look again").select_option("2")
    fleet.new_queue(events=1)  # once events wait elsewhere too, the verdict is a line longer
    expect(page.get_by_role("main")).to_contain_text(re.compile(r"ago; [\d,]+ events wait"))
    page.locator("summary").last.click()
    link = page.get_by_role("link", name=fleet.queues[FAILING].name).last
    link.focus()
    page.mouse.wheel(0, 300)
    place = link.bounding_box()

    name = fleet.new_queue(events=3)

    expect(page.get_by_role("row").filter(has_text=name)).to_be_visible()
    expect(link).to_be_focused()
    expect(page.locator("details").last).to_have_attribute("open", "")
    assert link.bounding_box() == place
    assert said.complaints == []


def test_a_page_that_did_not_change_costs_no_page(page: Page) -> None:
    """A look at an unchanged page is answered 304, without a body."""
    page.goto(re.sub(r"/$", "/about", page.url))
    page.get_by_label("Look again").select_option("2")
    with page.expect_response(lambda answer: answer.status == 304):
        pass


def test_keys_lead_to_each_page(page: Page, door: Door) -> None:
    """g and a letter open the page of the letter; ? lists the keys; / goes to the search."""
    for key, path in KEYS.items():
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(f"{door.url}{path}")
        expect(page.locator(f"nav [data-key={key}][aria-current=page]")).to_have_count(1)

    page.goto(door.url)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox").first).to_be_focused()


def test_rows_are_walked_and_opened_by_keys(page: Page) -> None:
    """j and k go from row to row, Enter opens the one that is meant."""
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    name = page.locator("[data-row][aria-current=true] [data-open]").inner_text()

    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_contain_text(name)


def test_a_destructive_key_is_a_capital_letter_and_asks_first(
    page: Page, door: Door, fleet: TroubledFleet
) -> None:
    """P and R open a page that says what would be done; nothing has been done by then."""
    name = fleet.new_dead(1)
    open_queue(page, door, name)
    expect(
        page.get_by_role("main").get_by_role("link", name=re.compile("^Redrive")).first
    ).to_be_visible()
    page.keyboard.press("R")

    page.wait_for_url(re.compile("/ask/redrive"))
    expect(page.get_by_role("main")).to_contain_text("1 event")
    assert fleet.view(name).dead == 1


def test_the_choice_of_colours_is_kept(page: Page, door: Door) -> None:
    """Light, dark or as the system: the choice holds on the next page, and after a new start."""
    page.emulate_media(color_scheme="light")
    light = page.evaluate("() => getComputedStyle(document.body).backgroundColor")

    page.get_by_label("Colours").select_option("dark")
    page.goto(f"{door.url}about")

    dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert dark != light
    expect(page.get_by_label("Colours")).to_have_value("dark")


def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Page) -> None:
    """Tab goes through all links and fields in the order of reading, each with a visible focus."""
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    assert page.locator("[tabindex]:not([tabindex='0']):not([tabindex='-1'])").count() == 0
    for _ in range(25):
        page.keyboard.press("Tab")
        name, outline, width = page.evaluate(
            """() => { const now = document.activeElement, style = getComputedStyle(now);
            return [now.tagName, style.outlineStyle, parseFloat(style.outlineWidth)]; }"""
        )
        assert (outline != "none", width >= 1) == (True, True), f"no focus to see on {name}"


def test_a_finger_hits_what_it_is_meant_to_hit(page: Page, fleet: TroubledFleet) -> None:
    """On a phone every button, field and entry of the navigation is 44 px high, and nothing overflows."""
    page.set_viewport_size({"width": 390, "height": 844})
    small = page.locator("nav a, button, .button, select, input:not([type=hidden]), summary")
    heights = small.evaluate_all(
        """all => all.filter(each => each.checkVisibility()).map(each =>
        [each.textContent.trim().slice(0, 30), each.getBoundingClientRect().height])"""
    )

    assert heights
    assert [each for each in heights if each[1] < TOUCHED_PIXELS] == []
    assert overflow_pixels(page) <= 0
    expect(page.get_by_role("link", name=fleet.queues[PAUSED].name).last).to_be_visible()
