"""Find what is to blame where VWO refuses a batch: single events, the batch, or the destination.

Stage 5 of an event's way, a rare one. VWO answers 400 to an unknown account as well as to an event
that it cannot read (vendor's .NET SDK), and a load balancer in a deploy answers 404. So nothing is
dead-lettered unless VWO accepted something else since, and a queue that has delivered before is
stopped only through its circuit, which heals by itself. If the process dies in here, the whole batch
is claimed again, and VWO gets once more what it had accepted.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from vwo_celery import signals
from vwo_celery.delivering import settling
from vwo_celery.delivering.attempts import Announcement, Attempt, delay_seconds, keep_lease, send
from vwo_celery.delivering.bisection import (
    MOST_PROVEN_REFUSALS,
    MOST_REFUSALS,
    Searched,
    search,
)
from vwo_celery.delivering.probing import (
    at_circuit,
    note_failure,
    note_success,
    waits_after,
)
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.holding import evidence
from vwo_celery.queue.words import counts
from vwo_celery.queue.words.batches import Part
from vwo_celery.sending.outcomes import Outcome, Verdict, judge

#: Longest search in a refused batch, in seconds; events not sent by then become a batch of their own.
SEARCH_SECONDS = 60.0
#: Time after a search in which VWO refused everything, and has accepted nothing since, in which no
#: other batch is searched, in ms.
_SEARCHED_MS = 3_600_000


def refuse(attempt: Attempt, encoded: list[bytes], outcome: Outcome) -> list[Announcement]:
    """Keep a batch that VWO does not want from us; before the first delivery, pause the queue."""
    if not has_delivered(attempt):
        return settling.pause(attempt, encoded, outcome)
    return hold_back(attempt, encoded, outcome)


def find_fault(attempt: Attempt, encoded: list[bytes], outcome: Outcome) -> list[Announcement]:
    """Dead-letter what VWO refuses, if it accepts anything else; else hold the batch back."""
    if not has_delivered(attempt):
        return settling.pause(attempt, encoded, outcome)
    proven = passed_since(attempt)
    if len(encoded) == 1 or not (proven or _may_search(attempt)):
        return _conclude(attempt, encoded, outcome, proven=proven)
    found = _search(attempt, encoded, MOST_PROVEN_REFUSALS if proven else MOST_REFUSALS)
    if found.accepted:
        return settle_parts(attempt, encoded, found, outcome.error or "")
    if not found.all_refused:
        return release_after_search(attempt, encoded, found, outcome)
    announcements = _conclude(attempt, encoded, outcome, proven=proven)
    if not proven:
        evidence.suspect(attempt.lease.shard, attempt.batch.id)  # the search's last refusal counts
        circuit = attempt.worker.circuit(_queue(attempt))
        note = partial(circuit.note_search, attempt.batch.claimed_ms)
        at_circuit(attempt.worker, _queue(attempt), note, None)
    return announcements


def _conclude(
    attempt: Attempt, encoded: list[bytes], outcome: Outcome, *, proven: bool
) -> list[Announcement]:
    """Dead-letter a batch of which VWO refuses everything, if it is proven to be to blame."""
    if proven:
        return settling.dead_letter(attempt, encoded, outcome.error or "", outcome)
    return hold_back(attempt, encoded, outcome)


def has_delivered(attempt: Attempt) -> bool:
    """Whether VWO ever accepted anything of this queue, or of the same account and key.

    A deploy with another release of an SDK begins a new queue, and a Redis that comes back empty
    knows of no delivery: neither makes a proven key a wrong one.
    """
    worker, destination = attempt.worker, attempt.registration.destination
    if destination.queue in worker.proven or _acceptances(attempt).delivered_ms:
        return True
    try:
        return any(
            evidence.acceptances(worker.fleet.shard(queue, number)).delivered_ms
            for queue, found in worker.fleet.registrations().readable.items()
            if queue != destination.queue and destination.is_alike(found.destination)
            for number in range(found.shards)
        )
    except QueueUnavailable:
        return True  # not known: a stop that heals by itself does less harm than a pause


def _acceptances(attempt: Attempt) -> evidence.Acceptances:
    """The last acceptances of the queue, as far as its shards can be reached."""
    found = attempt.at_each_shard(evidence.acceptances)
    return evidence.Acceptances(
        max(each.delivered_ms for each in found), max(each.proof_ms for each in found)
    )


def passed_since(attempt: Attempt) -> bool:
    """Note the refusal; whether VWO accepted another batch between the one before and this one.

    Only a batch counts that was claimed after the refusal before: one that was in flight may have
    reached VWO earlier.
    """
    before_ms = evidence.suspect(attempt.lease.shard, attempt.batch.id)
    return 0 < before_ms <= _acceptances(attempt).proof_ms


def hold_back(attempt: Attempt, encoded: list[bytes], outcome: Outcome) -> list[Announcement]:
    """Release a refused batch that is not proven to be to blame; the circuit may open.

    A batch that stays the only one waits by itself: its delay is at least half of a probe's first
    wait where VWO does not want us.
    """
    wait_seconds = note_failure(attempt, outcome)
    delay = delay_seconds(attempt, outcome)
    if outcome.verdict is Verdict.REFUSED:
        waits = waits_after(attempt.worker.settings, outcome)
        delay = max(delay, waits.first_seconds * random.uniform(0.5, 1.0))
    if wait_seconds is None:
        return settling.release(attempt, encoded, outcome, delay)
    if outcome.verdict is Verdict.REFUSED:
        delay = wait_seconds
    signal = signals.destination_paused
    return settling.release(attempt, encoded, outcome, max(delay, wait_seconds), signal=signal)


def _may_search(attempt: Attempt) -> bool:
    """Whether a search may find something: not if one of late was in vain, and nothing passed since."""
    circuit = attempt.worker.circuit(_queue(attempt))
    searched_ms = at_circuit(attempt.worker, _queue(attempt), circuit.searched_ms, 0)
    if attempt.batch.claimed_ms - searched_ms >= _SEARCHED_MS:
        return True
    return searched_ms <= _acceptances(attempt).delivered_ms


def _queue(attempt: Attempt) -> str:
    return attempt.registration.destination.queue


def _search(attempt: Attempt, encoded: list[bytes], most_refusals: int) -> Searched:
    post, may_go_on = searching(attempt, encoded)
    return search(len(encoded), post, may_go_on, most_refusals=most_refusals)


def searching(
    attempt: Attempt, encoded: list[bytes]
) -> tuple[Callable[[int, int], Outcome | None], Callable[[], bool]]:
    """The two functions that a search calls: one sends a range, one says whether to go on."""
    worker = attempt.worker
    started = worker.clock()

    def post(start: int, end: int) -> Outcome | None:
        if not keep_lease(attempt):
            return None
        return judge(send(attempt, encoded[start:end]), now=time.time())

    def may_go_on() -> bool:
        return not worker.stopping() and worker.clock() - started < SEARCH_SECONDS

    return post, may_go_on


def release_after_search(
    attempt: Attempt, encoded: list[bytes], found: Searched, outcome: Outcome
) -> list[Announcement]:
    """Release a batch in which a search ended before VWO accepted anything."""
    stopped = found.stopped
    if stopped is None or stopped.own_way:
        return settling.release(attempt, encoded, stopped or outcome)
    if stopped.verdict is Verdict.RELEASE:
        return settling.release(attempt, encoded, stopped, note_failure(attempt, stopped))
    return hold_back(attempt, encoded, stopped)


def settle_parts(
    attempt: Attempt, encoded: list[bytes], found: Searched, error: str
) -> list[Announcement]:
    """Settle each part of a searched batch: accepted, refused alone, and not decided."""
    note_success(attempt)
    accepted = settling.pick(encoded, found.accepted)
    parts = [settling.dead_part(encoded, found.refused, error)] if found.refused else []
    if found.undecided:
        ranges = tuple(sorted(found.undecided))
        delay = _delay_of_rest(attempt, found)
        rest = settling.pick(encoded, ranges)
        parts.append(Part("ready", ranges, settling.size(rest), delay, error))
    told = counts.accepted(attempt.age_seconds)
    if found.refused:
        told = counts.summed(told, counts.dead(Verdict.REJECTED.value, len(found.refused)))
    if not attempt.lease.split(parts, delivered=len(accepted), counts=told):
        return []
    evidence.note_proof(attempt.lease.shard, attempt.batch.claimed_ms)
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
    """Seconds that the undecided events wait; the answer that ended the search may open the circuit."""
    stopped = found.stopped
    if stopped is None or stopped.verdict not in (Verdict.RELEASE, Verdict.REFUSED):
        return 0.0
    wait_seconds = note_failure(attempt, stopped) if not stopped.own_way else None
    return wait_seconds if wait_seconds is not None else delay_seconds(attempt, stopped)
