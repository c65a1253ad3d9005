"""The words of a filter on events: of which event they are true, in both generations of the SDKs.

Beside an event's way; pure: nothing to lose. An FME event has a name. A legacy event has a number for
its kind, whose name here is the SDK's method, and a conversion has the id of its goal. Both have the
visitor's id as VWO knows it, which the SDKs make of the account and the application's own id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from vwo_celery.event_kinds import visitor_id
from vwo_celery.events import decode
from vwo_celery.operating.batches.filters import Filter

#: Names of a legacy event's kinds, by the SDK's methods: "activate" also for is_feature_enabled.
LEGACY_NAMES: Final = {1: "activate", 2: "track", 3: "push"}


def matching(events: Iterable[bytes], wanted: Filter, account_id: int | str) -> tuple[int, ...]:
    """Return the places, from 1, of the events of which a filter's words on events are true.

    Args:
        events: Encoded events, the oldest first. One that is no JSON object matches nothing.
        wanted: The filter.
        account_id: The account, of which visitors' ids are made.
    """
    names = frozenset(wanted.events)
    visitors = frozenset(
        known for each in wanted.visitors for known in (each, visitor_id(account_id, each))
    )
    return tuple(
        place
        for place, event in enumerate(map(decode, events), 1)
        if isinstance(event, dict)
        and (not names or not names.isdisjoint(names_of(event)))
        and (not visitors or visitor_of(event) in visitors)
    )


def names_of(event: dict[str, Any]) -> tuple[str, ...]:
    """Return what an event is called: its name; of a legacy one its kind, and the id of its goal."""
    match event:
        case {"target": str(), "body": dict() as body}:  # a single request
            return names_of(body)
        case {"d": {"event": {"name": str() as name}}}:
            return (name,)
        case {"eT": int() as kind, "g": goal}:
            return (LEGACY_NAMES.get(kind, str(kind)), str(goal))
        case {"eT": int() as kind}:
            return (LEGACY_NAMES.get(kind, str(kind)),)
    return ()


def visitor_of(event: dict[str, Any]) -> str:
    """Return the id by which VWO knows an event's visitor; "" if it has none."""
    match event:
        case {"target": str(), "body": dict() as body}:
            return visitor_of(body)
        case {"d": {"visId": str() as visitor}} | {"u": str() as visitor}:
            return visitor
    return ""
