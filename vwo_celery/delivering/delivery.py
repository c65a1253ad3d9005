"""Stages 3 to 6 of an event's way, in a worker: claim, send, settle, announce. Read this file first.

A worker task drains one shard. It goes on while the shard has batches and its time budget lasts, gives
way when other wake-ups wait for a lane, and asks for further tasks if more batches wait than lanes are
busy. If the process dies before the POST,
the lease runs out and the same batch is claimed again. Between the POST and the settling likewise,
and VWO gets the batch twice. After the settling, only the announcement is lost. A process that is
told to stop hands its batch back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from vwo_celery.connections.errors import is_foreseen
from vwo_celery.delivering import oversize, refusals, settling
from vwo_celery.delivering.announcing import announce
from vwo_celery.delivering.attempts import (
    Announcement,
    Attempt,
    keep_lease,
    release_after,
    send,
)
from vwo_celery.delivering.batch_log import Summary
from vwo_celery.delivering.claims import Claims
from vwo_celery.delivering.probing import end_probe, note_failure, note_success
from vwo_celery.delivering.recording import note_outcome, recorded
from vwo_celery.delivering.troubles import tell
from vwo_celery.delivering.turns import Turn
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable
from vwo_celery.events import MAX_BODY_BYTES, misfits, unsendable
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.sending.outcomes import Answer, Verdict, judge


def deliver(
    worker: Worker,
    wakeup: Wakeup,
    others_wait: Callable[[], bool] = lambda: False,
    summary: Summary | None = None,
) -> int:
    """Send the batches of one shard until none is left to claim, or its turn is over.

    Args:
        worker: The worker of this process.
        wakeup: The shard, and the slot that the first claim gives back.
        others_wait: Whether other wake-ups wait for a lane.
        summary: Takes note of what becomes of each batch.

    Returns:
        The number of attempts made, one for each batch claimed.

    Raises:
        QueueUnknown: The queue is not registered.
        QueueUnavailable: Redis did not answer; a claimed batch is claimed again after its lease.
    """
    attempts, summary = 0, summary if summary is not None else Summary()
    with Claims(worker, wakeup, Turn(worker.clock, others_wait)) as claims:
        while (claimed := claims.next()) is not None:
            attempts += 1
            attempt = Attempt(worker, *claimed, partial(claims.ack, claimed))
            with worker.leases.holding(claimed.lease), recorded(attempt) as span:
                announcements = _carry_out(attempt)
                note_outcome(span, announcements)
            for announcement in announcements:
                summary.add(announcement)
                worker.batch_log.write(announcement)
                tell(attempt, announcement)
                wanted = attempt.batch.results_wanted
                announce(worker, attempt.registration, announcement, wanted=wanted)
    if claims.why_none:
        summary.end(claims.why_none)
    else:
        shard = worker.fleet.shard(wakeup.queue, wakeup.shard)
        worker.wake_all(shard, *shard.next_turn())
    return attempts


def _carry_out(attempt: Attempt) -> list[Announcement]:
    """Send and settle the batch; an attempt that fails does not keep the batch leased."""
    try:
        batch = attempt.batch
        attempt.worker.wake_all(attempt.lease.shard, batch.help_token, batch.wakeups)
        return _send_and_settle(attempt)
    except QueueUnavailable as exc:
        if not is_foreseen(exc.__cause__):
            release_after(attempt, exc)
        raise  # else nothing can be given back now; the lease runs out
    except Exception as exc:
        release_after(attempt, exc)
        raise
    except BaseException:  # the process is told to stop: not this batch's fault
        attempt.lease.hand_back()
        raise
    finally:
        end_probe(attempt)


def _send_and_settle(attempt: Attempt) -> list[Announcement]:
    batch = attempt.batch
    if batch.events == 1 and batch.bytes > MAX_BODY_BYTES:  # too large to be worth reading
        error = f"one event of {batch.bytes} bytes; not sent"
        return settling.dead_letter(attempt, [], error, matter=Verdict.TOO_LARGE.value)
    encoded = attempt.lease.read()
    announcements = _settle_unsent(attempt, encoded)
    if announcements is not None:
        return announcements
    if not keep_lease(attempt):
        return []  # handed back, or claimed by another worker, who sends it
    return settle(attempt, encoded, send(attempt, encoded))


def _settle_unsent(attempt: Attempt, encoded: list[bytes]) -> list[Announcement] | None:
    """Settle a batch that must not be sent as it is; None if it may be sent."""
    if len(encoded) < attempt.batch.events:
        return settling.dead_letter_incomplete(attempt, encoded)
    if attempt.batch.lost_leases > attempt.worker.settings.max_lost_leases:
        return settling.dead_letter_lost(attempt, encoded)
    if bad := unsendable(encoded) or _misfits(attempt, encoded):
        return settling.dead_letter_unsendable(attempt, encoded, bad)
    if len(encoded) > attempt.batch.events:
        return settling.count_foreign(attempt, encoded)
    return oversize.split_to_size(attempt, encoded)


def _misfits(attempt: Attempt, encoded: list[bytes]) -> list[tuple[int, str]]:
    """The events that a queue of single requests cannot send; none for any other queue."""
    whose = attempt.registration.destination
    if not whose.is_single:
        return []
    return misfits(encoded, account_id=whose.account_id, sdk_key=whose.sdk_key)


def settle(attempt: Attempt, encoded: list[bytes], answer: Answer) -> list[Announcement]:
    """Do to the batch what VWO's answer asks for.

    Raises:
        QueueUnavailable: Redis did not answer; what is not settled is claimed again.
    """
    outcome = judge(answer, now=time.time())
    if attempt.worker.declining.hands_back(attempt.registration, outcome):
        attempt.lease.hand_back()
        return []
    if outcome.verdict is Verdict.DELIVERED:
        note_success(attempt)
        announcements = settling.acknowledge(attempt, encoded)
    elif outcome.verdict is Verdict.REFUSED:
        announcements = refusals.refuse(attempt, encoded, outcome)
    elif outcome.verdict is Verdict.TOO_LARGE:
        announcements = oversize.find_size(attempt, encoded, outcome, answer)
    elif outcome.verdict is Verdict.REJECTED:
        announcements = refusals.find_fault(attempt, encoded, outcome)
    else:
        announcements = settling.release(attempt, encoded, outcome, note_failure(attempt, outcome))
    for report, _ in announcements:
        if report.status is None:
            report.status, report.elapsed_seconds = answer.status, answer.elapsed_seconds
        report.answer = answer.word if report.status is None else str(int(report.status))
    return announcements
