"""What stands around each page: the pages' names, whom it is shown to, and how it renews itself.

Django's admin has a frame of its own, and takes `body` alone. Reads only: nothing to lose.
"""

from __future__ import annotations

import sys
import time
from importlib import resources
from typing import Final

import msgspec
from markupsafe import Markup

from vwo_celery.console.pages.rendering import render
from vwo_celery.console.pages.verdicts import Level
from vwo_celery.console.shared.exchange import Page
from vwo_celery.console.shared.visits import Visit
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.operating.looks.looking import Look
from vwo_celery.text.masking import mask_url

#: Names of the pages by their paths, and the letter that leads there after g.
_PAGES: Final = (
    ("", "Overview", "o"), ("dead", "Dead letters", "d"), ("workers", "Workers", "w"),
    ("settings", "Settings", "s"), ("audit", "Audit", "a"), ("about", "About", "i"),
)  # fmt: skip
#: Content types of the files that pages need, by the end of their names.
_KINDS: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_AWAY: Final = 503
#: Pages that ask before an action.
_ASKING: Final = "ask/"


def own_version() -> str:
    """The release of this package; "" before it is imported as a whole."""
    return str(getattr(sys.modules.get("vwo_celery"), "__version__", ""))


class Entry(msgspec.Struct, frozen=True):
    """One page of the navigation, and a number that asks for a look at it."""

    path: str
    name: str
    key: str
    number: int = 0
    level: Level = "ok"


def frame(visit: Visit | None, page: Page) -> bytes:
    """A whole document: the page with head and foot.

    Args:
        visit: The request; None if nobody may come in: then nothing is told but the page.
        page: The page.
    """
    return _framed(visit, page, embedded=False).encode()


def body(visit: Visit | None, page: Page) -> str:
    """The page with the names of the other pages, for a door with a head and a foot of its own."""
    return _framed(visit, page, embedded=True)


def _framed(visit: Visit | None, page: Page, *, embedded: bool) -> str:
    document: dict[str, object] = {
        "title": page.title,
        "html": Markup(page.html),  # noqa: S704 - a template made it
        "here": page.here,
        "level": "ok" if page.status == 200 else "problem",
        "live": visit is not None and _renews_itself(visit, page),
        "embedded": embedded,
        "pages": (),
        "wrong_types": (),
    }
    if visit is not None:
        document |= _of_visit(visit)
    return render(visit, "frame.html", document)


def _renews_itself(visit: Visit, page: Page) -> bool:
    """Whether a page may change under its reader; what somebody is about to agree to may not."""
    asks = visit.path.startswith(_ASKING)
    return visit.request.is_safe and page.status in (200, _AWAY) and not asks


def _of_visit(visit: Visit) -> dict[str, object]:
    settings, visitor = visit.settings, visit.visitor
    shown = _look(visit)
    return {
        "wrong_types": () if shown is None else shown.wrong_types,
        "pages": _entries(0 if shown is None else sum(view.dead for view in shown.views)),
        "redis": mask_url(settings.redis_url),
        "namespace": settings.namespace,
        "visitor": visitor.name,
        "rights": "may " + ", ".join(sorted(right.value for right in visitor.rights)),
        "version": own_version(),
        "zone": time.strftime("%Z (UTC%z)"),
    }


def _look(visit: Visit) -> Look | None:
    try:
        return visit.look()
    except QueueUnavailable:
        return None
    except Exception as exc:  # a fault of ours: the page inside tells what it can
        log.error("the console failed to look at the queues: %s", type(exc).__name__)
        return None


def _entries(dead: int) -> list[Entry]:
    return [
        Entry(path, name, key, dead, "problem" if dead else "ok")
        if path == "dead"
        else Entry(path, name, key)
        for path, name, key in _PAGES
    ]


def static(path: str) -> tuple[str, bytes] | None:
    """The content type and the bytes of a file below `static/`; None if there is none."""
    name, _, end = path.rpartition(".")
    if not name.isidentifier() or end not in _KINDS:
        return None
    file = resources.files("vwo_celery.console") / "static" / path
    return (_KINDS[end], file.read_bytes()) if file.is_file() else None
