"""axe-core, which knows what keeps people with disabilities from using a page; runs in a real browser.

Two thirds of its time go into colours. What they are on a page follows from each element's style, so
whoever looks at a page in several widths and schemes asks for the colours of each `paint` once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Page

Part = Literal["all", "colours", "rest"]
#: Rules that tell of something that a machine can see: WCAG's of levels A and AA, and good practice.
TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
#: Those of them whose answer follows from colours.
COLOURS: Final = ("color-contrast", "link-in-text-block")
_RULES: Final[Mapping[Part, dict[str, Any]]] = {
    "all": {"runOnly": {"type": "tag", "values": list(TAGS)}},
    "colours": {"runOnly": {"type": "rule", "values": list(COLOURS)}},
    "rest": {
        "runOnly": {"type": "tag", "values": list(TAGS)},
        "rules": {each: {"enabled": False} for each in COLOURS},
    },
}
_SETTLE: Final = """() => Promise.allSettled(
    document.getAnimations().map((each) => each.finished)).then(() => null)"""
#: All that decides the contrast of an element's text, of each element that is shown.
_PAINT: Final = """() => {
    const style = (each) => { const s = getComputedStyle(each); return [s.color, s.fill, s.stroke,
        s.backgroundColor, s.backgroundImage, s.opacity, s.filter, s.fontSize, s.fontWeight,
        s.position, s.textDecorationLine, s.textShadow, each.checkVisibility()].join(); };
    return [...document.querySelectorAll("body, body *")].map(style).join("|"); }"""


def violations(page: Page, within: str = "html", part: Part = "all") -> list[str]:
    """What axe-core finds wrong, a line for each rule with the first element that breaks it.

    Args:
        page: The page as it is shown now.
        within: A CSS selector; what is outside is not looked at.
        part: Which rules: all, those of `COLOURS`, or the rest.
    """
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_source())
    options = {**_RULES[part], "resultTypes": ["violations"], "preload": False}
    found = page.evaluate("([within, options]) => axe.run(within, options)", [within, options])
    return [_line(each) for each in found["violations"]]


def violations_at(
    page: Page, widths: Iterable[int], schemes: Sequence[str], within: str = "html"
) -> list[str]:
    """What axe-core finds wrong at each width and in each scheme of colours, as the page stands.

    The rules that look at no colour are asked once for each width, those that do once for each `paint`.

    Args:
        page: The page; it is left in the last width and scheme.
        widths: In CSS pixels.
        schemes: "light", "dark".
        within: As of `violations`.
    """
    wrong, seen = [], set()
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        wrong += [f"{width} px: {each}" for each in violations(page, within, "rest")]
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            now = paint(page)
            if now not in seen:
                found = violations(page, within, "colours")
                wrong += [f"{width} px, {scheme}: {each}" for each in found]
            seen.add(now)
    return wrong


def paint(page: Page) -> str:
    """Colours, sizes and visibility of all elements; equal where the colours' rules answer equally.

    A colour that is on its way to another one, as the admin's links are, arrives first.
    """
    page.evaluate(_SETTLE)
    return str(page.evaluate(_PAINT))


def _source() -> str:
    from axe_playwright_python.base import AXE_SCRIPT

    return str(AXE_SCRIPT)


def _line(violation: dict[str, Any]) -> str:
    first = violation["nodes"][0]
    where, summary = first["html"][:200], " ".join(first["failureSummary"].split())
    return f"{violation['id']} ({len(violation['nodes'])}): {where} | {summary[:300]}"
