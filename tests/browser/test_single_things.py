"""Changes of less than a queue, by clicks: a job under way, what waits for a retry, single events."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from browser.test_actions import ask, confirm, main_of, open_dead, open_queue
from tools.browsers import HEADING, Said
from tools.console_doors import Door
from tools.troubled_fleet import TroubledFleet
from tools.waiting import wait_until

pytestmark = pytest.mark.parametrize("door", ["bare-without-scripts", "django"], indirect=True)
#: Far more than a worker redrives at one event a second until somebody has stopped it.
MANY = 60


def test_a_job_is_stopped_in_the_middle(
    page: Page, said: Said, door: Door, fleet: TroubledFleet
) -> None:
    """Its page offers to stop it and says that it was; what is not done yet stays a dead letter."""
    name = fleet.new_dead(MANY)
    fleet.accept_all(name)
    open_dead(page, door, name)
    ask(page, "Redrive")
    main_of(page).get_by_label("Most events a second").fill("1")
    confirm(page)
    address = page.url
    ask(page, "Stop")
    confirm(page)

    def has_ended() -> bool:
        page.goto(address)
        return main_of(page).get_by_text("stopped").count() > 0

    wait_until(has_ended, 20, what="the end of the job")
    assert 0 < fleet.view(name).dead < MANY
    assert [each.command for each in fleet.changes(name)] == ["dead redrive"]
    assert main_of(page).get_by_role("link", name=re.compile("^Stop")).count() == 0
    assert said.complaints == []


def test_what_waits_for_its_next_attempt_is_retried_at_once(
    page: Page, said: Said, door: Door, fleet: TroubledFleet
) -> None:
    """It says how much waits; VWO gets it long before the minute of its backoff is over."""
    name = fleet.new_released()
    open_queue(page, door, name)
    ask(page, "Retry")
    expect(main_of(page)).to_contain_text("2 released events")
    assert fleet.view(name).released == 2
    fleet.accept_all(name)

    confirm(page)

    wait_until(lambda: fleet.delivered(name) == 2, 20, what="delivery")
    assert [each.command for each in fleet.changes(name)] == ["retry"]
    assert said.complaints == []


@pytest.mark.parametrize(
    ("act", "then"), [("Redrive", (2, 1, 0)), ("Purge", (2, 0, 1))], ids=["redrive", "purge"]
)
def test_single_events_of_a_dead_letter_are_decided_on(
    page: Page, said: Said, door: Door, fleet: TroubledFleet, act: str, then: tuple[int, int, int]
) -> None:
    """Only the events that were chosen are sent again or dropped; the others stay dead."""
    name = fleet.new_dead_batch(3)
    open_dead(page, door, name)
    main_of(page).get_by_role("row").last.get_by_role("link").click()
    expect(main_of(page).get_by_role("checkbox")).to_have_count(3)
    main_of(page).get_by_role("checkbox").nth(1).check()
    main_of(page).get_by_role("button", name=f"{act} the chosen").click()
    expect(page.locator(HEADING)).to_contain_text(act)
    assert fleet.view(name).dead == 3

    confirm(page)

    view = fleet.view(name)
    assert (view.dead, view.ready, view.ledger.dropped) == then
    assert view.ledger.balanced
    assert said.complaints == []
