"""Captured events: what an application enqueued in a test, as the test reads it.

Beside an event's way; pure: nothing to lose. A failed assertion shows what was captured instead, by
names and visitors: neither an SDK key nor a property of an event gets into the log of a test run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import msgspec

from vwo_celery.destinations import Destination
from vwo_celery.event_kinds import visitor_id
from vwo_celery.events import decode
from vwo_celery.operating.batches.payloads import names_of, visitor_of
from vwo_celery.text.amounts import count
from vwo_celery.text.lines import one_line

#: Captured events that a message lists.
_MOST_SHOWN = 10
_NOTHING = (
    "nothing was captured: is the client attached (vwo_celery.attach or init), and in this process? "
    "In development mode a client enqueues nothing"
)


class CapturedEvent(msgspec.Struct, frozen=True):
    """One event that the application enqueued.

    Attributes:
        destination: Where it would have gone.
        encoded: The bytes that would have gone there.
    """

    destination: Destination
    encoded: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The whole event, decoded."""
        event: dict[str, Any] = decode(self.encoded)
        return event

    @property
    def queue(self) -> str:
        """Name of its queue."""
        return self.destination.queue

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called: see `name`; a legacy conversion also by the id of its goal."""
        return names_of(self.json)

    @property
    def name(self) -> str:
        """Its name, such as "purchase"; of a legacy event the method: "activate", "track", "push"."""
        return next(iter(self.names), "")

    @property
    def visitor(self) -> str:
        """The id by which VWO knows its visitor; `is_of` compares it with your own."""
        return visitor_of(self.json)

    def is_of(self, user_id: str) -> bool:
        """Whether its visitor is this user, named by the application's id or by VWO's."""
        return self.visitor in (user_id, visitor_id(self.destination.account_id, user_id))

    @property
    def properties(self) -> dict[str, Any]:
        """What it says of itself, without the SDK's own `vwo_…`; of a legacy event, all its fields."""
        match self.json:
            case {"d": {"event": {"props": dict() as props}}}:
                return _without_own(props)
        return self.json

    @property
    def attributes(self) -> dict[str, Any]:
        """What an FME event says of its visitor, without the SDK's own `vwo_…`; else nothing."""
        match self.json:
            case {"d": {"visitor": {"props": dict() as props}}}:
                return _without_own(props)
        return {}

    def __repr__(self) -> str:
        return f"<{one_line(self.name) or 'event'} of visitor {one_line(self.visitor) or '?'}>"


def _without_own(props: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in props.items() if not name.startswith("vwo_")}


class CapturedEvents(Sequence[CapturedEvent]):
    """Captured events, oldest first, and choices of them.

    Args:
        events: These events.
        among: All that were captured, which a failed assertion shows.
        wanted: Words for how these were chosen; "" for all.
    """

    def __init__(
        self,
        events: Iterable[CapturedEvent] = (),
        among: Sequence[CapturedEvent] | None = None,
        wanted: str = "",
    ) -> None:
        self._events = list(events)
        self._among = self._events if among is None else among
        self._wanted = wanted

    def named(self, name: str) -> CapturedEvents:
        """Those of a name, such as "purchase" or "vwo_variationShown"; see `CapturedEvent.names`."""
        return self._chosen(f"named {name!r}", (e for e in self if name in e.names))

    def of(self, user_id: str) -> CapturedEvents:
        """Those of one user, named by the application's id or by VWO's."""
        return self._chosen(f"of user {user_id!r}", (e for e in self if e.is_of(user_id)))

    def one(self, name: str = "") -> CapturedEvent:
        """The only one, or the only one of a name.

        Raises:
            AssertionError: There is none, or there are several; says what was captured.
        """
        chosen = self.named(name) if name else self
        if len(chosen) != 1:
            raise AssertionError(f"one event was expected{chosen._words}, but {chosen._told()}")
        return chosen[0]

    @property
    def names(self) -> list[str]:
        """The name of each, in order."""
        return [event.name for event in self]

    def _chosen(self, wanted: str, events: Iterable[CapturedEvent]) -> CapturedEvents:
        words = f"{self._wanted}, {wanted}" if self._wanted else wanted
        return CapturedEvents(events, self._among, words)

    @property
    def _words(self) -> str:
        return f" {self._wanted}" if self._wanted else ""

    def _told(self) -> str:
        """What was captured, for a message."""
        among = self._among
        told = f"{len(self)} of {count(len(among), 'captured event')} matched: {_listed(among)}"
        return told if among else _NOTHING

    @overload
    def __getitem__(self, place: int) -> CapturedEvent: ...

    @overload
    def __getitem__(self, place: slice) -> list[CapturedEvent]: ...

    def __getitem__(self, place: int | slice) -> CapturedEvent | list[CapturedEvent]:
        return self._events[place]

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[CapturedEvent]:
        return iter(list(self._events))

    def __repr__(self) -> str:
        if self or not self._among:
            return f"<{count(len(self), 'event')}{self._words}: {_listed(self)}>"
        return f"<no event{self._words}; captured: {_listed(self._among)}>"


def _listed(events: Sequence[CapturedEvent]) -> str:
    shown = [f"{event!r}"[1:-1] for event in events[:_MOST_SHOWN]]
    more = [f"{len(events) - _MOST_SHOWN} more"] if len(events) > _MOST_SHOWN else []
    return ", ".join([*shown, *more]) or "none"
