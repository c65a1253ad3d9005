"""What is to blame where VWO answers 400 or 422: single events, or the configuration.

Stage 5 of an event's way, a rare one. VWO answers 400 to an unknown account as well as to an event that
it cannot read (vendor's .NET SDK): so nothing is dead-lettered unless something else was accepted. If the
process dies in here, the batch is claimed again as it was, and VWO sees twice what it had accepted.
"""

from __future__ import annotations

import time
from http import HTTPStatus

from vwo_celery import signals
from vwo_celery.delivering import settling
from vwo_celery.delivering.attempts import Attempt, Told, delay_seconds, hold_on, send, tell_circuit
from vwo_celery.delivering.bisection import Findings, search
from vwo_celery.queue.batches import Part
from vwo_celery.sending.outcomes import Outcome, Verdict, judge

#: A search for what VWO refuses is broken off after so long; what is left is tried as batches.
SEARCH_SECONDS = 60.0
#: Tries of a single event that VWO refuses, and nothing accepted meanwhile, before the queue is paused.
_UNPROVEN_TRIES = 3


def find_fault(attempt: Attempt, events: list[bytes], outcome: Outcome) -> list[Told]:
    """Dead-letter what VWO refuses, if it accepts anything else; else pause the queue.

    VWO answers 400 to an unknown account as well as to an event it cannot read (vendor's .NET SDK).
    """
    if not any(shard.delivered_ms() for shard in attempt.shards):
        return settling.pause(attempt, events, outcome)
    if len(events) == 1:
        return _suspect(attempt, events, outcome)
    found = _search(attempt, events)
    if found.all_refused:
        return settling.pause(attempt, events, outcome)
    if not found.accepted:
        return settling.release(
            attempt, events, found.stopped or outcome, _after_search(attempt, found)
        )
    return _settle_parts(attempt, events, found, outcome.error or "")


def _suspect(attempt: Attempt, events: list[bytes], outcome: Outcome) -> list[Told]:
    """A single event: to blame once another batch was accepted since it was first refused."""
    batch, error = attempt.batch, outcome.error or ""
    since = attempt.lease.shard.suspect(batch.id, batch.claimed_ms)
    if since < batch.claimed_ms:
        if max(shard.delivered_ms() for shard in attempt.shards) > since:
            return settling.dead_letter(attempt, events, error, outcome)
        if batch.attempt >= _UNPROVEN_TRIES:
            return settling.pause(attempt, events, outcome)
    return settling.release(attempt, events, outcome)


def _search(attempt: Attempt, events: list[bytes]) -> Findings:
    worker = attempt.worker
    started = worker.clock()

    def ask(start: int, end: int) -> Outcome | None:
        if not hold_on(attempt):
            return None
        return judge(send(attempt, events[start:end]), now=time.time())

    def may_go_on() -> bool:
        return not worker.stopping() and worker.clock() - started < SEARCH_SECONDS

    return search(len(events), ask, may_go_on)


def _settle_parts(attempt: Attempt, events: list[bytes], found: Findings, error: str) -> list[Told]:
    """Settle what a search has found: accepted, refused alone, and what it did not come to."""
    accepted = settling.pick(events, found.accepted)
    parts = [settling.dead_part(events, found.refused, error)] if found.refused else []
    if found.untried:
        ranges = tuple(sorted(found.untried))
        delay = _after_search(attempt, found)
        rest = settling.pick(events, ranges)
        parts.append(Part("ready", ranges, settling.size(rest), delay, error))
    if not attempt.lease.split(parts, delivered=(len(accepted), settling.size(accepted))):
        return []
    told: list[Told] = [
        (
            attempt.report(accepted, error=None, verdict=Verdict.DELIVERED, status=HTTPStatus.OK),
            signals.batch_delivered,
        )
    ]
    if found.refused:
        settling.trim_dead(attempt)
        refused = [events[index] for index in sorted(found.refused)]
        report = attempt.report(refused, error=error, verdict=Verdict.REJECTED)
        told.append((report, signals.batch_dead_lettered))
    if found.untried:
        names = settling.names(attempt, len(parts))[-1:]
        told.append((attempt.report(events, error=None, parts=names), signals.batch_split))
    return told


def _after_search(attempt: Attempt, found: Findings) -> float:
    """Seconds that what was not tried has to wait; what stopped the search concerns the queue."""
    stopped = found.stopped
    if stopped is None:
        return 0.0
    wait = tell_circuit(attempt, stopped)
    if stopped.verdict is Verdict.REFUSED:
        settling.pause_queue(attempt, stopped.error or "")
    if stopped.verdict is not Verdict.RELEASE:
        return 0.0
    return wait if wait is not None else delay_seconds(attempt, stopped)
