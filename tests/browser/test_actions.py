"""Every change that the console offers, by clicks: told before, done, and told after."""

from __future__ import annotations

import re
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from tools.browsers import HEADING, Said
from tools.console_doors import Door
from tools.troubled_fleet import TroubledFleet
from tools.waiting import wait_until

REASON = "the account's key changes until 14:00"


def main_of(page: Page) -> Locator:
    """What the console shows, without what a door puts around it."""
    return page.locator("#vwo-main")


def open_queue(page: Page, door: Door, name: str) -> None:
    """Find a queue by the search of the first page, and open its page.

    A look is a second old at most; a page that runs no script does not look again by itself.
    """
    link = main_of(page).get_by_role("link", name=name, exact=True).first

    def is_listed() -> bool:
        page.goto(f"{door.url}?q={quote(name)}&idle=1")
        return link.count() > 0

    wait_until(is_listed, what=f"a row of {name}")
    link.click()
    expect(page.locator(HEADING)).to_contain_text(name)


def open_dead(page: Page, door: Door, name: str) -> None:
    """Open the dead letters of a queue, which a look of the last second may not know yet."""
    purge = main_of(page).get_by_role("link", name=re.compile("^Purge"))

    def are_listed() -> bool:
        page.goto(f"{door.url}dead?filter={quote(f'queue:{name}')}")
        return purge.count() > 0

    wait_until(are_listed, what=f"dead letters of {name}")


def ask(page: Page, act: str) -> None:
    """Follow the way to a change; the page that comes says what it would do, and has done nothing.

    A page that runs no script offers it at the next look, a second later at most.
    """
    way = main_of(page).get_by_role("link", name=re.compile(f"^{act}…?")).first
    wait_until(lambda: way.count() > 0 or not page.reload(), what=f"a way to {act}")
    way.click()
    expect(page.locator(HEADING)).to_contain_text(act)


def confirm(page: Page) -> None:
    """Order what the page says; the page that comes says what was done."""
    main_of(page).locator("form[method=post]").get_by_role("button").last.click()
    expect(page.get_by_role("status").first).to_be_visible()


def test_a_flush_is_told_done_and_recorded(
    page: Page, said: Said, door: Door, fleet: TroubledFleet
) -> None:
    """It says how many events it would send, sends them, and stands in the audit with who asked."""
    name = fleet.new_queue(events=3)
    open_queue(page, door, name)
    ask(page, "Flush")
    expect(main_of(page)).to_contain_text("3 open events")
    assert fleet.view(name).open == 3

    confirm(page)

    wait_until(lambda: fleet.delivered(name) == 3, 20, what="delivery")
    change = fleet.changes(name)[-1]
    assert (change.command, change.result, change.who) == ("flush", "ok", "purge")
    assert change.door == ("django" if door.is_django else "console")
    assert said.complaints == []


def test_a_pause_says_why_until_it_is_resumed(
    page: Page, said: Said, door: Door, fleet: TroubledFleet
) -> None:
    """The reason and who gave it stand on the queue's page; resuming it sends what waited."""
    name = fleet.new_queue(events=2)
    open_queue(page, door, name)
    ask(page, "Pause")
    main_of(page).get_by_role("textbox").first.fill(REASON)
    confirm(page)
    paused = fleet.view(name).stopped
    assert paused is not None
    assert (paused.by, paused.why) == ("operator", REASON)

    open_queue(page, door, name)
    expect(main_of(page)).to_contain_text(REASON)
    ask(page, "Resume")
    confirm(page)

    assert fleet.view(name).stopped is None
    assert [each.command for each in fleet.changes(name)] == ["pause", "resume"]
    assert said.complaints == []


def test_dead_letters_are_redriven_by_a_worker(
    page: Page, said: Said, door: Door, fleet: TroubledFleet
) -> None:
    """It counts them first; a worker makes them ready, and VWO gets them."""
    name = fleet.new_dead(2)
    fleet.accept_all(name)
    open_dead(page, door, name)
    expect(main_of(page)).to_contain_text("2 events")
    ask(page, "Redrive")
    expect(main_of(page)).to_contain_text("2 events")
    assert fleet.view(name).dead == 2

    confirm(page)

    wait_until(lambda: fleet.delivered(name) == 6, 20, what="delivery")
    assert fleet.view(name).dead == 0
    assert said.complaints == []


def test_dead_letters_are_purged_for_good(
    page: Page, said: Said, door: Door, fleet: TroubledFleet
) -> None:
    """It counts them and says that they will be gone; then they are, and the ledger says dropped."""
    name = fleet.new_dead(1)
    open_dead(page, door, name)
    ask(page, "Purge")
    expect(main_of(page)).to_contain_text("1 event")
    assert fleet.view(name).dead == 1

    confirm(page)

    wait_until(lambda: fleet.view(name).dead == 0, 20, what="the purge")
    assert fleet.view(name).ledger.dropped == 1
    assert fleet.view(name).ledger.balanced
    assert said.complaints == []


def test_what_died_after_the_count_is_left_alone(
    page: Page, door: Door, fleet: TroubledFleet
) -> None:
    """What is changed is what was shown: a batch that dies while somebody reads stays a dead letter."""
    name = fleet.new_dead(1)
    open_dead(page, door, name)
    ask(page, "Purge")
    fleet.more_dead(name)

    confirm(page)

    wait_until(lambda: fleet.view(name).dead == 1, 20, what="the purge")
