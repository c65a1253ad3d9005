"""Counts of what arrived: requests, events, repeats, refusals and delays.

No I/O in here, safe under threads.

Two events count as a repeat if their bytes are equal. That is exact for FME events with any content
of their own; legacy events have no id, so two equal calls of one visitor within a second count as a
repeat, too.
"""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections import Counter

import msgspec

from vwo_celery.testing.standin.rules import Answer

_DIGEST_BYTES = 16


class Delays(msgspec.Struct, frozen=True):
    """Seconds from an event's own time to its arrival; None where nothing has arrived.

    A legacy event's time has whole seconds, so its delay is up to a second too long.
    """

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Stats(msgspec.Struct, frozen=True):
    """Everything counted since the start; times are Unix seconds.

    `requests` = `accepted` + `rejected` + `unanswered`; `events` counts all that were taken,
    repeats included; `empty` counts accepted requests without any event. `singles` are events that
    came outside any batch and were accepted; they count nowhere else.
    """

    requests: int
    accepted: int
    rejected: int
    unanswered: int
    rejected_by_status: dict[str, int]
    events: int
    duplicates: int
    empty: int
    largest_batch: int
    bytes: int
    singles: int
    first_at: float | None
    last_at: float | None
    delay_seconds: Delays
    rejected_singles: int = 0


class Tally:
    """The counters behind `Stats`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: set[bytes] = set()
        self._delays = array("d")
        self._counts: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._largest_batch = 0
        self._first_at: float | None = None
        self._last_at: float | None = None

    def note_batch(self, answer: Answer, *, body_bytes: int, at: float, answered: bool) -> None:
        """Count one request to a batch endpoint, and its events."""
        digests = [hashlib.sha256(event).digest()[:_DIGEST_BYTES] for event in answer.events]
        with self._lock:
            self._counts["requests"] += 1
            self._counts["bytes"] += body_bytes
            self._note_fate(answer, answered)
            self._note_events(digests)
            self._delays.extend(at - time for time in answer.times)
            self._first_at = at if self._first_at is None else min(self._first_at, at)
            self._last_at = at if self._last_at is None else max(self._last_at, at)

    def note_single(self, *, accepted: bool) -> None:
        """Count one event that came outside any batch."""
        with self._lock:
            self._counts["singles" if accepted else "rejected_singles"] += 1

    def _note_fate(self, answer: Answer, answered: bool) -> None:
        if not answered:
            self._counts["unanswered"] += 1
        elif not 200 <= answer.status < 300:
            self._counts["rejected"] += 1
            self._rejected[str(answer.status)] += 1
        else:
            self._counts["accepted"] += 1
            self._counts["empty"] += not answer.events

    def _note_events(self, digests: list[bytes]) -> None:
        before = len(self._seen)
        self._seen.update(digests)
        self._counts["events"] += len(digests)
        self._counts["duplicates"] += len(digests) - (len(self._seen) - before)
        self._largest_batch = max(self._largest_batch, len(digests))

    def stats(self) -> Stats:
        """The counts as they are now, consistent with one another."""
        with self._lock:
            delays = self._delays[:]
            counts, rejected = self._counts.copy(), dict(self._rejected)
            largest, first_at, last_at = self._largest_batch, self._first_at, self._last_at
        return Stats(
            requests=counts["requests"],
            accepted=counts["accepted"],
            rejected=counts["rejected"],
            unanswered=counts["unanswered"],
            rejected_by_status=rejected,
            events=counts["events"],
            duplicates=counts["duplicates"],
            empty=counts["empty"],
            largest_batch=largest,
            bytes=counts["bytes"],
            singles=counts["singles"],
            rejected_singles=counts["rejected_singles"],
            first_at=first_at,
            last_at=last_at,
            delay_seconds=_summarize(delays),
        )


def _summarize(delays: array[float]) -> Delays:
    if not delays:
        return Delays()
    ordered = sorted(delays)
    p50, p95, p99 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95, 0.99))
    return Delays(p50=p50, p95=p95, p99=p99, max=ordered[-1])
