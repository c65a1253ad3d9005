"""The pages, as data: which path shows which page, and what stands around it.

`console.console` answers each GET of `PAGES`; after an action of a form it shows `done`, and where
something keeps it from answering, `trouble`. `frame` puts head and foot around a page, unless a door
does so, as Django's admin does. Reads only: nothing to lose.
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

import msgspec

from vwo_celery.console.actions import Action
from vwo_celery.console.shared.exchange import Page
from vwo_celery.console.shared.routes import Route
from vwo_celery.console.shared.visits import Visit


def _overview(visit: Visit) -> Page:
    shown = visit.look()
    rows = "".join(
        f"<tr><td>{escape(each.queue)}<td>{each.undelivered}</tr>" for each in shown.views
    )
    return Page("Overview", f"<h1>Overview</h1><table>{rows}</table>")


#: The pages.
PAGES: Final = (Route("", _overview),)


def done(visit: Visit, action: Action, order: Any, document: Any) -> Page:  # noqa: ARG001
    """The page after an action of a form: what it did.

    Args:
        visit: The POST.
        action: The action.
        order: Its order, of `action.takes`.
        document: What it returned.
    """
    text = msgspec.json.encode(document).decode()
    return Page(f"{action.name}: done", f"<h1>Done</h1><pre>{escape(text)}</pre>")


def trouble(
    visit: Visit | None,  # noqa: ARG001
    status: int,
    what: str,
    remedy: str,
    last: Page | None = None,
) -> Page:
    """The page where something kept the console from answering.

    Args:
        visit: The request; None if nobody may come in.
        status: HTTP status: 400, 403, 404, 405, 409, 429, 500; 503 if Redis cannot be used.
        what: What is true now, in plain text.
        remedy: What to do; "" for nothing.
        last: Where Redis cannot be used: the page as it was when it last could; None if it never did.
    """
    return Page(
        what, f"<h1>{escape(what)}</h1><p>{escape(remedy)}</p>{last.html if last else ''}", status
    )


def frame(visit: Visit | None, page: Page) -> bytes:  # noqa: ARG001
    """A whole document: the page with head and foot.

    Args:
        visit: The request; None if nobody may come in: then nothing is told but the page.
        page: The page.
    """
    return f"<!doctype html><title>{escape(page.title)}</title><main>{page.html}</main>".encode()


def static(path: str) -> tuple[str, bytes] | None:  # noqa: ARG001
    """The content type and the bytes of a file below `static/`; None if there is none."""
    return None
