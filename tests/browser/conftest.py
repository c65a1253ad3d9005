"""The console in a real browser: a troubled fleet, the doors, and a visit for each test.

One browser, one fleet and one program for each door serve all tests of a process. A test that changes
something does so with a queue of its own.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tools.browsers import NO_BROWSER, PATIENCE_MS, Said, find_browser, new_context, running_browser
from tools.console_doors import DOORS, ROLES, Door, make_door
from tools.troubled_fleet import TroubledFleet, troubled_fleet
from vwo_celery.testing import RedisServer

#: Doors whose tests run once more in a browser that runs no script.
PLAIN = ("bare", "django")
WITHOUT_SCRIPTS = "-without-scripts"
expect.set_options(timeout=PATIENCE_MS)
_SHOWN_CHARACTERS = 3_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser; without one the tests are left out, and fail where CI is set."""
    path = find_browser()
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_BROWSER)
    with running_browser(path) as running:
        yield running


@pytest.fixture(scope="session")
def own_redis(browser: Browser) -> Iterator[RedisServer]:
    """Redis of the fleet, which keeps what it holds, as in production."""
    with RedisServer(arguments=("--appendonly", "yes")) as server:
        yield server


@pytest.fixture(scope="session")
def fleet(
    own_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TroubledFleet]:
    """The fleet in trouble, with its worker."""
    with troubled_fleet(own_redis.url, tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.fixture(scope="session")
def doors(
    fleet: TroubledFleet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Door]]:
    """The doors that have been used, by name; `door` adds to it."""
    running: dict[str, Door] = {}
    yield running
    for each in running.values():
        each.stop()


@pytest.fixture(params=[*DOORS, *(f"{each}{WITHOUT_SCRIPTS}" for each in PLAIN)], scope="session")
def door(
    request: pytest.FixtureRequest,
    fleet: TroubledFleet,
    doors: dict[str, Door],
    tmp_path_factory: pytest.TempPathFactory,
) -> Door:
    """A way to the console; a test runs once for each, and for some with scripts off."""
    name = request.param.removesuffix(WITHOUT_SCRIPTS)
    if name not in doors:
        made = make_door(name, tmp_path_factory.mktemp(name), fleet.env)
        doors[name] = made
        made.start()
    return doors[name]


@pytest.fixture
def with_scripts(request: pytest.FixtureRequest) -> bool:
    """Whether the test's browser runs scripts."""
    return not request.node.callspec.params["door"].endswith(WITHOUT_SCRIPTS)


@pytest.fixture
def context(
    request: pytest.FixtureRequest, browser: Browser, door: Door, *, with_scripts: bool
) -> Iterator[BrowserContext]:
    """A visit with all rights, or in the role of a test's mark `visit(role)`."""
    mark = request.node.get_closest_marker("visit")
    role = mark.args[0] if mark else ROLES[-1]
    made = new_context(browser, java_script_enabled=with_scripts, **door.entry(role))
    yield made
    made.close()


@pytest.fixture
def said(context: BrowserContext) -> Said:
    """What the pages of the visit say in the browser's console."""
    return Said(context)


@pytest.fixture
def page(context: BrowserContext, said: Said, door: Door) -> Page:
    """The first page, in a tab of its own."""
    opened = context.new_page()
    opened.goto(door.url)
    return opened


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what stood on the page when a test failed."""
    report = yield
    shown: Any = getattr(item, "funcargs", {}).get("page")
    if report.when == "call" and report.failed and shown is not None and not shown.is_closed():
        report.sections.append((f"page {shown.url}", _text_of(shown)))
    return report


def _text_of(page: Page) -> str:
    """What can be read on the page, and a picture of it where BROWSER_PICTURES names a folder."""
    if folder := os.environ.get("BROWSER_PICTURES"):
        Path(folder).mkdir(exist_ok=True)
        page.screenshot(path=Path(folder) / "failed.png", full_page=True)
    return str(page.locator("body").inner_text())[:_SHOWN_CHARACTERS]
