"""axe-core, which knows what keeps people with disabilities from using a page; runs in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: Rules that tell of something that a machine can see: WCAG's of levels A and AA, and good practice.
TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_OPTIONS: Final = {
    "runOnly": {"type": "tag", "values": list(TAGS)},
    "resultTypes": ["violations"],
}


def violations(page: Page, within: str = "html") -> list[str]:
    """What axe-core finds wrong, a line for each rule with the first element that breaks it.

    Args:
        page: The page as it is shown now.
        within: A CSS selector; what is outside is not looked at.
    """
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_source())
    found = page.evaluate("([within, options]) => axe.run(within, options)", [within, _OPTIONS])
    return [_line(each) for each in found["violations"]]


def _source() -> str:
    from axe_playwright_python.base import AXE_SCRIPT

    return str(AXE_SCRIPT)


def _line(violation: dict[str, Any]) -> str:
    first = violation["nodes"][0]
    where, summary = first["html"][:200], " ".join(first["failureSummary"].split())
    return f"{violation['id']} ({len(violation['nodes'])}): {where} | {summary[:300]}"
