"""Trace contexts on their way: with which events of a list they go, and how Redis and a spool keep them.

Beside stage 1 of an event's way. A context is one text: W3C's traceparent, and after a blank its
tracestate, if there is one. No OpenTelemetry in it, and no I/O: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

#: Most contexts that a batch keeps, as in lua/shared/contexts.lua.
MOST_CONTEXTS: Final = 128
#: Longest tracestate that is kept, in bytes; a longer one is left out.
MOST_STATE_BYTES: Final = 256


class Span(NamedTuple):
    """The events of one call within a list, from *start* to before *end*, and its context."""

    start: int
    end: int
    context: str


class Traced(list[bytes]):
    """Encoded events, of which some were enqueued by calls that are recorded.

    A part of it keeps the contexts of its events; every other operation makes an ordinary list.

    Attributes:
        spans: Those calls, in the order of their events.
    """

    __slots__ = ("spans",)

    def __init__(self, events: Iterable[bytes], spans: Sequence[Span]) -> None:
        super().__init__(events)
        self.spans = tuple(spans)

    def __getitem__(self, where: Any) -> Any:
        """One event, or a list of those of a slice without a step."""
        found = super().__getitem__(where)
        if not isinstance(where, slice):
            return found
        first, last, _ = where.indices(len(self))
        spans = [
            Span(max(each.start, first) - first, min(each.end, last) - first, each.context)
            for each in self.spans
            if each.start < last and each.end > first
        ]
        return Traced(found, spans) if spans else found


def spans_of(events: Sequence[bytes]) -> Sequence[Span]:
    """The recorded calls that some events come from; none for most."""
    return events.spans if isinstance(events, Traced) else ()


def joined(parts: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    """The events of all *parts*, one after the other."""
    events = list(chain.from_iterable(parts))
    if not any(isinstance(part, Traced) for part in parts):
        return events
    return Traced(events, list(_moved(parts)))


def _moved(parts: Iterable[Sequence[bytes]]) -> Iterator[Span]:
    before = 0
    for part in parts:
        for each in spans_of(part):
            yield Span(each.start + before, each.end + before, each.context)
        before += len(part)


def as_argument(events: Sequence[bytes]) -> str:
    """The contexts of some events as enqueue.lua takes them; "" for none."""
    spans = spans_of(events)
    return "".join(f"{each.start + 1} {each.end} {each.context}\n" for each in spans)


def of_each(events: Sequence[bytes]) -> list[str | None]:
    """The context of each event, None for an event without one."""
    found: list[str | None] = [None] * len(events)
    for each in spans_of(events):
        found[each.start : each.end] = [each.context] * (each.end - each.start)
    return found


def with_each(events: list[bytes], contexts: Sequence[str | None]) -> list[bytes]:
    """Events with the context of each; neighbours of the same context come from one call."""
    spans: list[Span] = []
    for number, context in enumerate(contexts):
        if not context:
            continue
        if spans and spans[-1].end == number and spans[-1].context == context:
            spans[-1] = spans[-1]._replace(end=number + 1)
        else:
            spans.append(Span(number, number + 1, context))
    return Traced(events, spans) if spans else events


def read_contexts(kept: bytes | str | None) -> tuple[list[str], int]:
    """What Redis keeps of a batch: the contexts, at most 128, and how many there were."""
    text = kept.decode("ascii", "replace") if isinstance(kept, bytes) else kept or ""
    seen, *contexts = text.split("\n")
    contexts = contexts[-MOST_CONTEXTS:]
    return contexts, max(len(contexts), int(seen) if seen.isdecimal() else 0)
