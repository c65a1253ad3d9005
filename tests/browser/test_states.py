"""States of the console besides a fleet with numbers: nothing yet, no answer yet, nobody's business."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from browser.test_actions import ask, confirm, open_queue
from browser.test_every_page import SCHEMES, walk
from tools.axe import violations_at
from tools.browsers import HEADING, Said, new_context
from tools.console_doors import Door
from tools.troubled_fleet import WELL, TroubledFleet

#: What each page says where there is nothing yet.
NOTHING = {
    "": "No queue yet",
    "dead": "No dead letters",
    "audit": "nobody has changed anything",
    "workers": "0 workers listen",
}
BOTH_WIDTHS = (1280, 390)


@pytest.fixture
def stranger(browser: Browser, door: Door) -> Iterator[Page]:
    """A tab of somebody whom nobody knows."""
    context = new_context(browser)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("door", ["empty"], indirect=True)
def test_a_fleet_without_queues_is_told_what_comes_next(page: Page, said: Said, door: Door) -> None:
    """Every page is there before the first event; each says what would be there, none is a blank."""
    for path, words in NOTHING.items():
        page.goto(f"{door.url}{path}")
        expect(page.locator("#vwo-main")).to_contain_text(words, ignore_case=True)
        assert violations_at(page, BOTH_WIDTHS, SCHEMES) == []
    assert said.complaints == []


@pytest.mark.parametrize("door", ["bare"], indirect=True)
def test_a_look_that_takes_long_says_so_and_keeps_the_page(
    page: Page, said: Said, fleet: TroubledFleet
) -> None:
    """A look that is not answered yet is told beside the page, which stays as it is until then."""
    held: list[Route] = []
    page.route(page.url, lambda route, _: held.append(route), times=1)

    page.get_by_label("Look again").select_option("2")

    expect(page.locator("#vwo-state")).to_contain_text("no answer for")
    expect(page.get_by_role("link", name=fleet.queues[WELL].name).last).to_be_visible()
    held[0].continue_()
    expect(page.locator("#vwo-state")).to_be_empty()
    assert said.complaints == []


@pytest.mark.parametrize("door", ["bare"], indirect=True)
def test_what_somebody_types_is_not_swept_away(page: Page, fleet: TroubledFleet) -> None:
    """A page with an open form does not renew itself, and says that it waits."""
    page.get_by_label("Name, account or host").fill("half a na")

    page.get_by_label("Look again").select_option("2")

    expect(page.locator("#vwo-state")).to_contain_text("paused while a form is open")
    expect(page.get_by_label("Name, account or host")).to_have_value("half a na")
    assert fleet.queues


@pytest.mark.parametrize("door", ["bare", "flask", "ops"], indirect=True)
def test_a_stranger_learns_nothing(stranger: Page, door: Door, fleet: TroubledFleet) -> None:
    """Whoever may not come in is told so, or asked who they are; no queue or number is shown."""
    answer = stranger.goto(door.url)

    assert answer is not None
    assert answer.status in (401, 403) or "/login" in stranger.url
    text = stranger.content()
    assert [each.name for each in fleet.queues.values() if each.name in text] == []
    if door.name == "flask":
        expect(stranger.locator(HEADING)).to_be_visible()
        expect(stranger.get_by_role("alert")).to_contain_text("may not come in")
        assert violations_at(stranger, BOTH_WIDTHS, SCHEMES) == []


@pytest.mark.parametrize("door", ["prefix", "ops"], indirect=True)
def test_it_works_wherever_it_is_mounted(
    page: Page, said: Said, door: Door, fleet: TroubledFleet
) -> None:
    """Below --prefix, and in Django outside of the admin: all links lead on, and a form does its work."""
    assert len(list(walk(page, door, with_queries=False))) >= len(NOTHING)
    name = fleet.new_queue(events=1)
    open_queue(page, door, name)
    ask(page, "Pause")
    confirm(page)

    assert page.url.startswith(door.url)
    assert [each.command for each in fleet.changes(name)] == ["pause"]
    assert said.complaints == []
