"""Find what is to blame where VWO answers 400 or 422: single events, or the configuration.

Stage 5 of an event's way, a rare one. VWO answers 400 to an unknown account as well as to an event
that it cannot read (vendor's .NET SDK), so nothing is dead-lettered unless VWO accepted something
else. If the process dies in here, the whole batch is claimed again, and VWO gets once more what it had
accepted.
"""

from __future__ import annotations

import time
from http import HTTPStatus

from vwo_celery import signals
from vwo_celery.delivering import settling
from vwo_celery.delivering.attempts import Announcement, Attempt, delay_seconds, keep_lease, send
from vwo_celery.delivering.bisection import Searched, search
from vwo_celery.delivering.probing import inform_circuit
from vwo_celery.queue.batches import Part
from vwo_celery.queue.shard import Shard
from vwo_celery.sending.outcomes import Outcome, Verdict, judge

#: Longest search in a refused batch, in seconds; events not sent by then become a batch of their own.
SEARCH_SECONDS = 60.0
#: Attempts at a single refused event, nothing else being accepted, after which the queue is paused.
_UNPROVEN_ATTEMPTS = 3


def find_fault(attempt: Attempt, encoded: list[bytes], outcome: Outcome) -> list[Announcement]:
    """Dead-letter what VWO refuses, if it accepts anything else; else pause the queue."""
    if not any(attempt.at_each_shard(Shard.delivered_ms)):
        return settling.pause(attempt, encoded, outcome)
    if len(encoded) == 1:
        return _suspect(attempt, encoded, outcome)
    found = _search(attempt, encoded)
    if found.all_refused:
        return settling.pause(attempt, encoded, outcome)
    if not found.accepted:
        return settling.release(
            attempt, encoded, found.stopped or outcome, _delay_of_rest(attempt, found)
        )
    return _settle_parts(attempt, encoded, found, outcome.error or "")


def _suspect(attempt: Attempt, encoded: list[bytes], outcome: Outcome) -> list[Announcement]:
    """Settle a single event: it is to blame if VWO accepted another batch after first refusing it."""
    batch, error = attempt.batch, outcome.error or ""
    since = attempt.lease.shard.suspect(batch.id, batch.claimed_ms)
    if since < batch.claimed_ms:
        if max(attempt.at_each_shard(Shard.delivered_ms)) > since:
            return settling.dead_letter(attempt, encoded, error, outcome)
        if batch.attempt >= _UNPROVEN_ATTEMPTS:
            return settling.pause(attempt, encoded, outcome)
    return settling.release(attempt, encoded, outcome)


def _search(attempt: Attempt, encoded: list[bytes]) -> Searched:
    worker = attempt.worker
    started = worker.clock()

    def post(start: int, end: int) -> Outcome | None:
        if not keep_lease(attempt):
            return None
        return judge(send(attempt, encoded[start:end]), now=time.time())

    def may_go_on() -> bool:
        return not worker.stopping() and worker.clock() - started < SEARCH_SECONDS

    return search(len(encoded), post, may_go_on)


def _settle_parts(
    attempt: Attempt, encoded: list[bytes], found: Searched, error: str
) -> list[Announcement]:
    """Settle each part of a searched batch: accepted, refused alone, and not decided."""
    accepted = settling.pick(encoded, found.accepted)
    parts = [settling.dead_part(encoded, found.refused, error)] if found.refused else []
    if found.undecided:
        ranges = tuple(sorted(found.undecided))
        delay = _delay_of_rest(attempt, found)
        rest = settling.pick(encoded, ranges)
        parts.append(Part("ready", ranges, settling.size(rest), delay, error))
    if not attempt.lease.split(parts, delivered=(len(accepted), settling.size(accepted))):
        return []
    announcements = [
        attempt.announcement(
            signals.batch_delivered, accepted,
            error=None, verdict=Verdict.DELIVERED, status=HTTPStatus.OK,
        )
    ]  # fmt: skip
    if found.refused:
        settling.trim_dead(attempt)
        refused = [encoded[index] for index in sorted(found.refused)]
        signal, verdict = signals.batch_dead_lettered, Verdict.REJECTED
        announcements.append(attempt.announcement(signal, refused, error=error, verdict=verdict))
    if found.undecided:
        names = settling.names(attempt, len(parts))[-1:]
        signal = signals.batch_split
        announcements.append(attempt.announcement(signal, encoded, error=None, parts=names))
    return announcements


def _delay_of_rest(attempt: Attempt, found: Searched) -> float:
    """Seconds that the undecided events wait; the answer that ended the search may pause the queue."""
    stopped = found.stopped
    if stopped is None:
        return 0.0
    wait_seconds = inform_circuit(attempt, stopped) if not stopped.own_way else None
    if stopped.verdict is Verdict.REFUSED:
        settling.pause_queue(attempt, stopped.error or "")
    if stopped.verdict is not Verdict.RELEASE:
        return 0.0
    return wait_seconds if wait_seconds is not None else delay_seconds(attempt, stopped)
