"""Pages as they last were, shown greyed while Redis is away. If the process dies, they are forgotten."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from vwo_celery.clocks import monotonic
from vwo_celery.console.shared.exchange import Last, Page
from vwo_celery.console.shared.visits import Visit

#: Most pages that are kept, and most bytes of one.
_MOST_PAGES: Final = 64
_MOST_BYTES: Final = 500_000


class LastPages:
    """The last good page of each path, query and set of rights."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pages: OrderedDict[object, tuple[Page, float]] = OrderedDict()

    def keep(self, visit: Visit, page: Page) -> None:
        """Keep a page that could be made."""
        if page.status != 200 or len(page.html) > _MOST_BYTES:
            return
        with self._lock:
            self._pages[_key(visit)] = page, monotonic()
            self._pages.move_to_end(_key(visit))
            while len(self._pages) > _MOST_PAGES:
                self._pages.popitem(last=False)

    def of(self, visit: Visit) -> Last | None:
        """The page as it last was for somebody with the same rights; None if it never was."""
        with self._lock:
            kept = self._pages.get(_key(visit))
        return None if kept is None else Last(kept[0], monotonic() - kept[1])


def _key(visit: Visit) -> object:
    return visit.path, visit.request.query, visit.visitor.rights
