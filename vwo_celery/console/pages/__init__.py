"""The pages, as data: which path shows which page, and what stands around it.

`console.console` answers each GET of `PAGES`; an action of a form it answers with `done`, and where
something keeps it from answering, with `trouble`. `frame` puts head and foot around a page, unless a door
does so, as Django's admin does, and takes `body`. Reads only: nothing to lose.

Files: `overview` with its parts `verdicts`, `flows`, `trends` and `rows`; `past` (charts of histories);
`queue` (one queue, and its next events); `dead` (dead letters, and one of them); `fleet` (workers,
settings, audit, about); `asking` with `plans`, `plan`, `sending_plans` and `dead_plans` (before an
action), `changes` (after one), `troubles` (where none was possible); `framing` (head and foot);
`rendering` (templates, and how they spell what they show).
"""

from __future__ import annotations

from typing import Final

from vwo_celery.console.pages.asking import ask
from vwo_celery.console.pages.changes import change, done
from vwo_celery.console.pages.dead import batch, dead
from vwo_celery.console.pages.fleet import about, audit, settings, workers
from vwo_celery.console.pages.framing import body, frame, static
from vwo_celery.console.pages.overview import overview
from vwo_celery.console.pages.queue import events, queue
from vwo_celery.console.pages.troubles import trouble
from vwo_celery.console.shared.rights import Right
from vwo_celery.console.shared.routes import Route

__all__ = ["PAGES", "body", "done", "frame", "static", "trouble"]

#: The pages.
PAGES: Final = (
    Route("", overview),
    Route("queue", queue),
    Route("queues/{queue}", queue),
    Route("queues/{queue}/events", events, Right.PEEK),
    Route("dead", dead),
    Route("dead/{batch}", batch),
    Route("workers", workers),
    Route("settings", settings),
    Route("audit", audit),
    Route("changes/{change}", change),
    Route("about", about),
    Route("ask/{action}", ask),
)
