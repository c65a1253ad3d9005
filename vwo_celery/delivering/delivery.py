"""Stages 3 to 6 of an event's way, in a worker: claim, send, settle, announce. Read this file first.

A worker task drains one shard: it goes on while batches are there, within a time budget, and calls
for help where more are waiting than lanes are busy. If the process dies before the POST, the lease
runs out and the same batch is claimed again; after the POST and before the settling, likewise, and
VWO sees the batch twice; after the settling, only the announcement is lost. A process that is told
to stop hands its batch back.
"""

from __future__ import annotations

import time

from vwo_celery.delivering import refusals, settling
from vwo_celery.delivering.announcing import announce
from vwo_celery.delivering.attempts import (
    Attempt,
    Told,
    end_probe,
    hold_on,
    release_after,
    send,
    tell_circuit,
)
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable
from vwo_celery.events import MAX_BODY_BYTES, unsendable
from vwo_celery.queue.batches import Batch, Held
from vwo_celery.queue.registration import Wakeup
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.sweeping import tokens
from vwo_celery.sending.outcomes import Answer, Verdict, judge

#: A task ends after so long and asks for another, so that a shutdown and other tasks get a turn.
BUDGET_SECONDS = 5.0


def deliver(worker: Worker, wakeup: Wakeup) -> int:
    """Send the batches of one shard until none is left to claim, or the time budget is used.

    Args:
        worker: This process'.
        wakeup: Which shard, and the slot to give back at the end.

    Returns:
        The number of batches that were tried.

    Raises:
        QueueUnknown: The queue is not registered.
        QueueUnavailable: Redis did not answer; a claimed batch is claimed again after its lease.
    """
    shard = worker.fleet.shard(wakeup.queue, wakeup.shard)
    started, tried = worker.clock(), 0
    while worker.clock() - started < BUDGET_SECONDS and not worker.stopping():
        registration = worker.registration(wakeup.queue)
        batch, probe = _claim(worker, shard, wakeup.token)
        if batch is None:
            return tried
        tried += 1
        _call_for_help(worker, wakeup, batch)
        with worker.leases.holding(shard, batch, worker.clock()) as lease:
            told = _try(Attempt(worker, registration, lease, wakeup.token, probe))
        for report, signal in told:
            announce(worker, registration, report, signal, batch.results_wanted)
    worker.wake(wakeup)
    return tried


def _claim(worker: Worker, shard: Shard, token: str) -> tuple[Batch | None, str]:
    """A batch, and the token of the probe that it is to be, "" for an ordinary one."""
    lease_seconds = worker.settings.lease_seconds
    batch = shard.claim(token=token, lease_seconds=lease_seconds)
    if not isinstance(batch, Held):
        return batch, ""
    circuit = worker.circuit(shard.queue)
    permit = circuit.ask()
    if permit.answer == "open":
        shard.hold(permit.until_ms, token)
        return None, ""
    if permit.answer == "closed":
        shard.let_go()
    batch = shard.claim(token=token, lease_seconds=lease_seconds, probe=True)
    if batch is None and permit.token:
        circuit.end_probe(permit.token, answered=False)
    return (None, "") if isinstance(batch, Held) else (batch, permit.token)


def _call_for_help(worker: Worker, wakeup: Wakeup, batch: Batch) -> None:
    for token in tokens(batch.help_token, batch.wakeups):
        worker.wake(Wakeup(wakeup.queue, wakeup.shard, token))


def _try(attempt: Attempt) -> list[Told]:
    """Send the batch and settle it; what is to be told. Whatever happens, the batch stays nobody's."""
    try:
        return _send_and_settle(attempt)
    except QueueUnavailable:
        raise  # nothing can be given back; the lease runs out
    except Exception as exc:
        release_after(attempt, exc)
        raise
    except BaseException:  # the process is told to stop: not this batch's fault
        attempt.lease.hand_back()
        raise
    finally:
        end_probe(attempt)


def _send_and_settle(attempt: Attempt) -> list[Told]:
    batch = attempt.batch
    if batch.events == 1 and batch.bytes > MAX_BODY_BYTES:  # nothing that large is worth reading
        return settling.dead_letter(attempt, [], f"one event of {batch.bytes} bytes; not sent")
    events = attempt.lease.shard.read(batch)
    told = _settle_unsent(attempt, events)
    if told is not None:
        return told
    if not hold_on(attempt):
        return []  # somebody else has claimed it since, and sends it
    return settle(attempt, events, send(attempt, events))


def _settle_unsent(attempt: Attempt, events: list[bytes]) -> list[Told] | None:
    """Settle a batch that must not be sent as it is; None if it may be."""
    if len(events) != attempt.batch.events:
        return settling.miss(attempt, events)
    if attempt.batch.lost_leases > attempt.worker.settings.max_lost_leases:
        return settling.give_up(attempt, events)
    if bad := unsendable(events):
        return settling.set_aside(attempt, events, bad)
    return settling.cut_to_size(attempt, events)


def settle(attempt: Attempt, events: list[bytes], answer: Answer) -> list[Told]:
    """Do to the batch what VWO's answer asks for.

    Raises:
        QueueUnavailable: Redis did not answer; what is not settled is claimed again.
    """
    outcome = judge(answer, now=time.time())
    wait = tell_circuit(attempt, outcome)
    if outcome.verdict is Verdict.DELIVERED:
        told = settling.acknowledge(attempt, events)
    elif outcome.verdict is Verdict.REFUSED:
        told = settling.pause(attempt, events, outcome)
    elif outcome.verdict is Verdict.TOO_LARGE:
        told = settling.halve(attempt, events, outcome, answer)
    elif outcome.verdict is Verdict.REJECTED:
        told = refusals.find_fault(attempt, events, outcome)
    else:
        told = settling.release(attempt, events, outcome, wait)
    for report, _ in told:
        if report.status is None:
            report.status, report.elapsed_seconds = answer.status, answer.elapsed_seconds
    return told
