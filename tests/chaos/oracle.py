"""The oracle: compares promised events with those that VWO accepted and Redis still holds; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chaos.vendor import Acceptance


class Evidence(msgspec.Struct, frozen=True):
    """Everything known of the events of one trial.
    Attributes:
        promised: Events whose receipts say "redis" or "spooled".
        taken: Events that VWO accepted, with each acceptance.
        dead: Events among the dead letters.
        waiting: Events that Redis or a spool holds and that are not dead.
        next_number: The number after an application's last receipt, by application.
        burst: Most events in one call of an application.
        repeats: How many times a client sent an event again because it got no answer, by event.
    """

    promised: frozenset[str]
    taken: Mapping[str, Sequence[Acceptance]]
    dead: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    next_number: Mapping[str, int] = {}
    burst: int = 1
    repeats: Mapping[str, int] = {}


class Judgement(msgspec.Struct, frozen=True):
    """Fate of the events of a trial.
    Attributes:
        promised: Events that were promised.
        lost: Promised events that are neither accepted nor dead nor waiting.
        waiting: Promised events that are still waiting, and neither accepted nor dead.
        duplicated: Acceptances beyond the first of each event.
        unexcused: Duplicates that neither a lost answer of VWO nor a client's repeat explains.
        strangers: Accepted events that no application can have made.
        batches: Requests that repeated an event.
    """

    promised: int
    lost: frozenset[str]
    waiting: frozenset[str]
    duplicated: int
    unexcused: int
    strangers: frozenset[str]
    batches: frozenset[int]


def judge(evidence: Evidence) -> Judgement:
    """Find every promised event, and the reason for each duplicate."""
    missing = evidence.promised - evidence.taken.keys() - evidence.dead
    more = {name: times for name, times in evidence.taken.items() if len(times) > 1}
    return Judgement(
        promised=len(evidence.promised),
        lost=missing - evidence.waiting,
        waiting=missing & evidence.waiting,
        duplicated=sum(len(times) - 1 for times in more.values()),
        unexcused=sum(
            max(0, _unexcused(times) - evidence.repeats.get(name, 0))
            for name, times in more.items()
        ),
        strangers=frozenset(name for name in evidence.taken if not _was_made(evidence, name)),
        batches=frozenset(each.request for times in more.values() for each in times[1:]),
    )


def _unexcused(times: Sequence[Acceptance]) -> int:
    """Acceptances that follow one whose answer was sent in full."""
    answered = [index for index, each in enumerate(times) if each.answered]
    return len(times) - 1 - answered[0] if answered else 0


def _was_made(evidence: Evidence, name: str) -> bool:
    """Whether an application made it: with a receipt, or in the call during which it was killed."""
    application, _, number = name.rpartition("-")
    end = evidence.next_number.get(application, 0) + evidence.burst
    return number.isdecimal() and int(number) < end
