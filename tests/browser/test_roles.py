"""What a role may not do is not drawn: no page offers it, or shows what an event holds."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from browser.test_every_page import walk
from tools.browsers import Said
from tools.console_doors import Door
from tools.troubled_fleet import MALFORMED, TroubledFleet

pytestmark = pytest.mark.parametrize("door", ["bare", "django"], indirect=True)
#: Words of events that are in the fleet, and in no name or reason.
CONTENT = (MALFORMED, "203.0.113.7", "A-1")


@pytest.mark.visit("viewer")
def test_a_viewer_is_offered_no_change_and_shown_no_event(
    page: Page, said: Said, door: Door
) -> None:
    """Their pages have no form that changes anything, no way to one, and no content of an event."""
    for address in walk(page, door, with_queries=False):
        assert "/ask/" not in address
        main = page.locator("#content" if door.is_django else "#vwo-main")
        assert main.locator("form[method=post], a[href*='ask/'], a[href*='/events']").count() == 0
        text = main.inner_text()
        assert [word for word in CONTENT if word in text] == [], address
    assert said.complaints == []


@pytest.mark.visit("viewer")
def test_a_viewer_who_asks_all_the_same_is_refused(
    page: Page, door: Door, fleet: TroubledFleet
) -> None:
    """An address that somebody else sent leads to a page that says which right is missing."""
    name = fleet.new_queue(events=1)
    for path in (f"ask/flush?queues={name}", f"queues/{name}/events"):
        answer = page.goto(f"{door.url}{path}")
        assert answer is not None
        assert answer.status == 403
        expect(page.get_by_role("alert")).to_contain_text("right")
    assert fleet.view(name).open == 1


@pytest.mark.visit("operator")
def test_an_operator_may_redrive_and_not_purge(
    page: Page, door: Door, fleet: TroubledFleet
) -> None:
    """Who may operate sees events and may send them again; to drop them takes another right."""
    name = fleet.new_dead(1)
    page.goto(f"{door.url}dead?filter=queue:{name}")

    expect(page.get_by_role("link", name=re.compile("^Redrive"))).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^Purge"))).to_have_count(0)
