"""Routes of task messages: how far each has come, and which messages are lost.

Stage 2 of an event's way. A route is one Celery queue of one broker, whose messages come out in the
order in which they went in: a message is lost only if a task has started with one that was published
clearly later. Pure decisions on notes in Redis: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

#: Longest time that passes between a slot and the publishing of its message.
_MARGIN_MS = 2_000
#: Bounds of the time without a message, published or started, after which one is sent to find out
#: whether those before it are lost.
_SHORTEST_QUIET_MS = 3_000
_LONGEST_QUIET_MS = 60_000
#: Time after which a route that nothing is published on no longer counts beside others.
_FORGOTTEN_MS = 60_000
#: Age up to which the last start of a task tells how long messages wait at present.
_RECENT_MS = 60_000
#: A time later than any: whatever is older than a slot's time is lost.
_ALL_PASSED_MS = 10**15


class Route(NamedTuple):
    """The notes on one route, Unix ms.

    Attributes:
        published_ms: Time at which its newest message was published.
        started_ms: Time of publishing of the newest message that a task has started with; 0 for none.
        waited_ms: Time, not a date, that the last message waited until a task started with it.
    """

    published_ms: int
    started_ms: int
    waited_ms: int

    @property
    def waits(self) -> bool:
        """Whether a message waits for a task, or is lost."""
        return self.published_ms > self.started_ms


def routes_of(notes: Mapping[str, int]) -> list[Route]:
    """The routes in use, from the numbers in the pulse hash."""
    names = {name.partition(":")[2] for name in notes if name.startswith("published:")}
    routes = [
        Route(*(notes.get(f"{what}:{name}", 0) for what in ("published", "started", "waited")))
        for name in sorted(names)
    ]
    newest = max((route.published_ms for route in routes), default=0)
    return [route for route in routes if newest - route.published_ms < _FORGOTTEN_MS]


def lost_until(routes: Iterable[Route]) -> int:
    """Time at which slots were given out, up to which wake-ups that no task has started are lost."""
    behind = [route.started_ms - _MARGIN_MS for route in routes if route.waits]
    return max(0, min(behind, default=_ALL_PASSED_MS))


def probe_is_due(routes: Iterable[Route], now_ms: int) -> bool:
    """Whether it is time to find out, by one message, if those that wait are lost.

    They may all be: then no other is published, since each holds a slot. The longer the newest of
    them waits for those before it, the rarer the messages sent in addition.
    """
    waiting = [route for route in routes if route.waits]
    if not waiting:
        return False
    published = max(route.published_ms for route in waiting)
    lead_ms = published - max(route.started_ms for route in waiting)
    quiet_ms = min(max(lead_ms, _SHORTEST_QUIET_MS), _LONGEST_QUIET_MS)
    return not 0 <= now_ms - published < quiet_ms


def wait_seconds(routes: Iterable[Route], now_ms: int) -> float:
    """Time that messages wait at present until a task starts with them, at least; 0 if none waits."""
    waits = [0]
    for route in routes:
        # While anything is due, a message is published from time to time: an older one was lost.
        if route.waits and now_ms - route.published_ms < 2 * _LONGEST_QUIET_MS:
            waits.append(now_ms - route.published_ms)
            if now_ms - route.started_ms - route.waited_ms < _RECENT_MS:
                waits.append(route.waited_ms)
    return max(waits) / 1000
