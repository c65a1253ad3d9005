"""The pages where something kept the console from answering. Nothing to lose."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from vwo_celery.console.pages.rendering import render
from vwo_celery.console.shared.exchange import Last, Page
from vwo_celery.console.shared.visits import Visit

#: What keeps the console from answering, in a few words, by the HTTP status.
_HEADINGS: Final = {
    400: "This cannot be read",
    403: "Not allowed",
    404: "Nothing is here",
    409: "Nothing was changed",
    429: "Too many attempts",
    503: "Redis is away",
}
#: The same where Redis answers, and a key that the page needs is no key of ours.
_WRONG_TYPE: Final = "A key of ours has a wrong type"


def trouble(
    visit: Visit | None,
    status: int,
    what: str,
    remedy: str,
    last: Last | None = None,
    *,
    wrong_type: bool = False,
) -> Page:
    """The page where something kept the console from answering.

    Args:
        visit: The request; None if nobody may come in.
        status: HTTP status: 400, 403, 404, 405, 409, 429, 500; 503 if Redis cannot be used.
        what: What is true now, in plain text.
        remedy: What to do; "" for nothing.
        wrong_type: Whether Redis answers, but a key that the page needs is of a wrong type.
        last: Where Redis cannot be used: the page as it was when it last could; None if it never did.
    """
    heading = _WRONG_TYPE if wrong_type else _HEADINGS.get(status, "This did not work")
    document = {
        "title": heading,
        "level": "problem",
        "heading": heading,
        "what": what,
        "remedy": remedy,
        "status": status,
        "mended": "that is mended" if wrong_type else "Redis answers",
        "visit": visit,
        "last": None if last is None else Markup(last.page.html),  # noqa: S704 - a template made it
        "last_age": 0.0 if last is None else last.age_seconds,
    }
    return Page(
        heading, render(visit, "trouble.html", document), status, last.page.here if last else "-"
    )
