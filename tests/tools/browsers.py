"""A real browser for tests and pictures: Debian's Chromium, steered by Playwright.

Its driver comes from PyPI, the browser from the machine: the one that VWO_CELERY_BROWSER names, or the
first of these names on PATH. The one without windows is first, the same engine: a visit costs it a
fifth of what a window costs the other, and a page a third. What a page says in the browser's console
is kept, since a page that breaks its own Content-Security-Policy says so only there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

NO_BROWSER: Final = (
    "no browser here: apt-get install chromium-headless-shell (or chromium), or name one by "
    "VWO_CELERY_BROWSER"
)
_NAMES: Final = (
    "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome",
)  # fmt: skip
#: Longest wait for an element or a page, ms; on an idle machine all take less than one second.
PATIENCE_MS: Final = 20_000
DESKTOP: Final = {"width": 1280, "height": 900}
#: The page's own heading; Django before 5.0 puts the name of the site into one as well.
HEADING: Final = "h1:not(#site-name)"
#: Words of the browser's own messages on what a policy keeps it from.
_POLICY_WORDS: Final = ("Content Security Policy", "Content-Security-Policy", "Trusted Type")


def find_browser() -> str | None:
    """Path of this machine's browser; None if it has none."""
    named = os.environ.get("VWO_CELERY_BROWSER")
    return named or next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def running_browser(path: str) -> Iterator[Browser]:
    """A browser without a window, which ends with the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        try:
            yield browser
        finally:
            browser.close()


class Said:
    """What the pages of one visit said in the browser's console, and the requests that failed.

    Attributes:
        complaints: Warnings, errors, and scripts' exceptions, each with the page's address.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        context.on("console", self._note)
        context.on("weberror", lambda error: self.complaints.append(f"exception: {error.error}"))

    @property
    def about_policy(self) -> list[str]:
        """The complaints that something broke the page's Content-Security-Policy."""
        return [each for each in self.complaints if any(words in each for words in _POLICY_WORDS)]

    def _note(self, message: ConsoleMessage) -> None:
        # The icon of the host that a door belongs to is not the console's.
        is_icon = str(message.location.get("url", "")).endswith("/favicon.ico")
        if message.type in ("warning", "error", "assert") and not is_icon:
            where = message.page.url if message.page else "?"
            self.complaints.append(f"{message.type} on {where}: {message.text}")


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """A visit of its own: no cookie, no storage, a desktop's size, English; *options* of Playwright's."""
    context = browser.new_context(
        **{"viewport": DESKTOP, "locale": "en-GB", "timezone_id": "UTC", **options}
    )
    context.set_default_timeout(PATIENCE_MS)
    return context


def overflow_pixels(page: Page) -> int:
    """By how much the page is wider than the window."""
    root = "document.documentElement"
    return int(page.evaluate(f"() => {root}.scrollWidth - {root}.clientWidth"))
