"""Redis stops answering while somebody looks at a page, and comes back."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tools.browsers import PATIENCE_MS, Said
from tools.console_doors import Door
from tools.troubled_fleet import FAILING, TroubledFleet
from tools.waiting import wait_until
from vwo_celery.testing import RedisServer

OUTAGE_SECONDS = 5.0
#: The console waits five seconds for Redis before it says so.
OUTAGE_MS = 4 * PATIENCE_MS


@contextmanager
def stopped(redis: RedisServer) -> Iterator[None]:
    """Redis answers nothing within the block, for five seconds at least."""
    os.kill(redis.pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        yield
        wait_until(
            lambda: time.monotonic() - began >= OUTAGE_SECONDS, OUTAGE_SECONDS, what="five seconds"
        )
    finally:
        os.kill(redis.pid, signal.SIGCONT)


@pytest.mark.parametrize("door", ["bare", "django"], indirect=True)
def test_an_open_page_tells_of_the_outage_and_heals_itself(
    page: Page, said: Said, own_redis: RedisServer, fleet: TroubledFleet
) -> None:
    """It keeps its last numbers, greyed, says what Redis does and what to do, and goes on by itself."""
    queue = fleet.queues[FAILING].name
    page.get_by_label("Look again").select_option("2")
    heading = page.locator("#vwo-main h1").inner_text()

    with stopped(own_redis):
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("Redis", timeout=OUTAGE_MS)
        expect(alert).to_contain_text("does not answer")
        expect(page.locator(".stale")).to_contain_text(queue)
        expect(page.locator(".stale")).to_contain_text(re.compile(r"\d+ s"))

    expect(page.get_by_role("alert")).to_have_count(0, timeout=OUTAGE_MS)
    expect(page.locator("#vwo-main h1")).to_have_text(re.compile(re.escape(heading[:3])))
    expect(page.get_by_role("row").filter(has_text=queue)).to_be_visible()
    assert said.about_policy == []


@pytest.mark.parametrize("door", ["bare-without-scripts"], indirect=True)
def test_a_page_without_scripts_looks_again_by_itself(
    page: Page, door: Door, own_redis: RedisServer, fleet: TroubledFleet
) -> None:
    """Opened in the outage, it says so under status 503, and asks the browser to load it anew."""
    with stopped(own_redis):
        answer = page.goto(door.url, timeout=OUTAGE_MS)
        assert answer is not None
        assert answer.status == 503
        expect(page.get_by_role("alert")).to_contain_text("does not answer")
        assert page.locator("noscript meta[http-equiv=refresh]").count() == 1

    def is_healed() -> bool:
        answer = page.goto(door.url)
        return answer is not None and answer.status == 200

    wait_until(is_healed, what="a page with numbers")
    expect(page.get_by_role("row").filter(has_text=fleet.queues[FAILING].name)).to_be_visible()
