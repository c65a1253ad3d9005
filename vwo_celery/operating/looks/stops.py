"""Stops: why nothing is claimed of a queue, since when, by whom, and when it is tried again.

Beside an event's way. Made from glances: reads nothing, changes nothing, nothing to lose.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from vwo_celery.queue.holding.pauses import Pause
from vwo_celery.queue.looks.glances import Failed, Glance
from vwo_celery.text.amounts import count, span

#: Causes in words; of an older release's pause the cause is not known.
_CAUSES = {
    "operator": "by an operator",
    "refusal": "because VWO refuses it",
    "outage": "because sending keeps failing",
    "workers": "because no worker may send it",
    "": "by an operator or a worker",
}
#: Time after which a stop that heals by itself is a person's business all the same.
LONG_STOP_SECONDS = 900.0


class Stop(msgspec.Struct, frozen=True):
    """A queue of which nothing is claimed.

    Attributes:
        by: The cause, "operator", "refusal", "outage" or "workers"; "" if it is not known.
        why: The reason: of an operator, or the last answer of VWO's.
        for_seconds: Time since it began; None if that is not known.
        next_try_seconds: Time until a batch is sent as a probe, 0 if it is due; None if nothing is
            sent until an operator resumes the queue. Where no worker may send it, the time until
            that is looked at again.
        who: The operator, by name and host; "" where it was a worker, or is not known.
        also: Another cause at the same time, such as VWO's refusal of a queue that an operator has
            paused besides; None if there is none.
    """

    by: str
    why: str
    for_seconds: float | None
    next_try_seconds: float | None
    who: str = ""
    also: Stop | None = None

    @property
    def needs_person(self) -> bool:
        """Whether it lasts until an operator resumes the queue."""
        return self.next_try_seconds is None

    @property
    def is_declined(self) -> bool:
        """Whether every worker declines the queue, which no operator can end by a resume."""
        return self.by == "workers"

    @property
    def why_no_resume(self) -> str:
        """Why a resume cannot help where every worker declines the queue, and what does."""
        return (
            "Nobody has stopped it: every worker declines it, and a resume does not change that. It goes "
            f"on by itself as soon as one worker may send it. {self.why[:1].upper()}{self.why[1:]}."
        )

    @property
    def is_long(self) -> bool:
        """Whether it has lasted for so long that somebody should look."""
        return (self.for_seconds or 0.0) >= LONG_STOP_SECONDS

    def __str__(self) -> str:
        return self._spelled() + (f"; besides, {self.also}" if self.also else "")

    def _spelled(self) -> str:
        since = "" if self.for_seconds is None else f"for {span(self.for_seconds)}, "
        by = f"({since}{f'by {self.who}' if self.who else _CAUSES.get(self.by, self.by)})"
        if self.next_try_seconds is None:
            return f"paused: {self.why} {by}"
        if self.is_declined:
            return f"stopped: {self.why} {by}; it goes on by itself as soon as one may"
        until = f"in {span(self.next_try_seconds)}" if self.next_try_seconds else "now"
        why = f"{self.why} " if self.why else ""
        return f"stopped: {why}{by}; one batch is sent as a probe {until}"


def stop_of(shards: Sequence[Glance]) -> Stop | None:
    """The stop of a queue; None while it is sent from.

    A pause is stronger than an open circuit: that one's cause is told beside it, and nothing is sent
    as a probe.
    """
    hold, stops = _hold(shards), _paused(shards)
    if not stops:
        return hold
    if hold is not None and hold.by not in {stop.by for stop in stops}:
        stops.append(replace(hold, next_try_seconds=None))
    first = stops.pop()
    while stops:
        first = replace(stops.pop(), also=first)
    return first


def _paused(shards: Sequence[Glance]) -> list[Stop]:
    """One stop for each cause of a pause, with its first reason and the time since its first shard."""
    causes: dict[str, list[Pause]] = {}
    for shard in shards:
        for pause in shard.pauses:
            causes.setdefault(pause.by, []).append(pause)
    now_ms = shards[0].now_ms
    return [
        Stop(
            by,
            those[0].why,
            _age_seconds(now_ms, [each.since_ms for each in those]),
            None,
            those[0].who,
        )
        for by, those in causes.items()
    ]


def _hold(shards: Sequence[Glance]) -> Stop | None:
    now_ms, held = shards[0].now_ms, [shard for shard in shards if shard.held_until_ms]
    if not held:
        return None
    known = next((shard for shard in held if shard.held_why), held[0])
    until_ms = min(shard.held_until_ms for shard in held)
    return Stop(
        known.held_by or "outage",
        known.held_why,
        _age_seconds(now_ms, [shard.held_ms for shard in held]),
        max(0, until_ms - now_ms) / 1000,
    )


def _age_seconds(now_ms: int, times_ms: Sequence[int]) -> float | None:
    """Time since the first of these; None where none is known."""
    known = [at for at in times_ms if at]
    return max(0, now_ms - min(known)) / 1000 if known else None


class Failing(Failed, frozen=True):
    """The batch of a queue that failed most often, in words; `vwo-celery dead add` takes it."""

    def __str__(self) -> str:
        return self.told_beside("")

    def told_beside(self, error: str) -> str:
        """This in words, without its error where *error*, which was just told, is the same."""
        attempts, events = count(self.attempts, "attempt"), count(self.events, "event")
        why = "" if self.error == error else f": {self.error}"
        return f"batch {self.batch} of {events} failed most often, {attempts} so far{why}"


def failing_of(shards: Sequence[Glance], *, waiting: bool = False) -> Failing | None:
    """The batch that failed most, of all or of those that wait released; None if none failed."""
    found = [shard.failed_waiting if waiting else shard.failed for shard in shards]
    failed: list[Failed] = [batch for batch in found if batch is not None]
    if not failed:
        return None
    worst = max(failed, key=lambda batch: (batch.attempts, batch.events, batch.batch))
    return Failing(worst.batch, worst.state, worst.events, worst.attempts, worst.error)
