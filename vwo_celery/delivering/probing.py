"""Stage 3 of an event's way: claim the probe of an open circuit, and tell the circuit the result.

A shard of a destination whose circuit is open is held: a claim from it asks the circuit for a permit,
which only one probe at a time gets. If the process dies in here, the lease and the permit run out.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from vwo_celery.delivering.attempts import Attempt
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.circuit import (
    Permit,
    Recovery,
    Waits,
    outage_waits,
    refusal_waits,
)
from vwo_celery.queue.looks.numbers import undelivered_events
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Batch, Cause, Held
from vwo_celery.sending.outcomes import Outcome, Verdict
from vwo_celery.settings import Settings
from vwo_celery.text.moments import since

Answer = TypeVar("Answer")
#: Share of the probes that take the newest batch.
NEWEST_SHARE = 0.5
#: Permit while the circuit cannot be asked: each batch then waits for its own backoff.
_UNKNOWN = Permit("probe", 0, "")


def claim_probe(worker: Worker, shard: Shard) -> tuple[Batch | None, str]:
    """Claim from a held shard: ask the circuit, and claim as its probe, or as usual if it is closed.

    Half of the probes take one of the newest batches instead of the one that has waited longest.

    Returns:
        The batch, None if there is none to send now; and the probe's token, "" for no probe.
    """
    circuit = worker.circuit(shard.queue)
    permit = at_circuit(worker, shard.queue, circuit.ask, _UNKNOWN)
    if permit.answer == "open":
        shard.hold(permit.until_ms)
        return None, ""
    if permit.answer == "closed":
        shard.let_go()
    # The oldest batches may be what VWO refuses, while it accepts those made since.
    newest = bool(permit.token) and random.random() < NEWEST_SHARE
    lease_seconds = worker.settings.lease_seconds
    batch = shard.claim(token="", lease_seconds=lease_seconds, probe=True, newest=newest)
    if batch is None and permit.token:
        circuit.end_probe(permit.token, answered=False)
    return (None, "") if isinstance(batch, Held) else (batch, permit.token)


def at_circuit(worker: Worker, queue: str, act: Callable[[], Answer], otherwise: Answer) -> Answer:
    """Return what *act* does to the circuit; *otherwise* while its part of a Cluster is away."""
    fleet: Fleet = worker.fleet.brief
    return fleet.on_part_of(fleet.shard(queue, 0), act, otherwise)


def note_success(attempt: Attempt) -> None:
    """Note that VWO accepted something: the queue is proven, and a probe closes the circuit."""
    worker, queue = attempt.worker, attempt.registration.destination.queue
    worker.proven.add(queue)
    if attempt.probe:
        note_recovery(attempt)


def note_recovery(attempt: Attempt) -> None:
    """Forget failures in a row, since VWO accepts again; log that, if a log told of the failures.

    Raises:
        QueueUnavailable: Redis did not answer; the failures count until a later acceptance.
    """
    worker, queue = attempt.worker, attempt.registration.destination.queue
    end = partial(worker.circuit(queue).end_probe, attempt.probe, answered=True)
    closed, trouble = at_circuit(worker, queue, end, Recovery(False, None))
    if attempt.probe and closed:
        attempt.at_each_shard(Shard.let_go)
    if trouble is not None:
        log.info(
            "VWO accepts queue %s again, which it had not %s; events kept and sent now: %s",
            queue, since(trouble.seconds), f"{kept(attempt):,}",
        )  # fmt: skip


def kept(attempt: Attempt) -> int:
    """The number of the queue's events that are neither delivered nor dead."""
    return sum(attempt.at_each_shard(undelivered_events))


def note_failure(attempt: Attempt, outcome: Outcome) -> float | None:
    """Count a failure; the circuit opens after several in a row, and stays open if the probe fails.

    What VWO refuses counts once for each batch: that it refuses one of them says nothing about the
    others.

    Returns:
        Seconds until the next probe if the circuit is open, else None.
    """
    settings, released = attempt.worker.settings, outcome.verdict is Verdict.RELEASE
    circuit = attempt.worker.circuit(attempt.registration.destination.queue)
    note = partial(
        circuit.note_failure,
        delivered_ms=attempt.batch.delivered_ms,
        floor_seconds=outcome.retry_after_seconds,
        probe=attempt.probe,
        waits=waits_after(settings, outcome),
        batch_id="" if released else attempt.batch.id,
    )
    wait_seconds = at_circuit(attempt.worker, circuit.queue, note, None)
    if wait_seconds is not None:
        _hold_all(attempt, wait_seconds, outcome)
    return wait_seconds


def waits_after(settings: Settings, outcome: Outcome) -> Waits:
    """The waits of a circuit that opens for this outcome; a refusal has the longer ones."""
    if outcome.verdict is Verdict.REFUSED:
        return refusal_waits(settings, key=outcome.long_wait)
    return outage_waits(settings)


def _hold_all(attempt: Attempt, wait_seconds: float, outcome: Outcome) -> None:
    """Hold every shard of the queue until the next probe is due."""
    until_ms = attempt.worker.fleet.now_ms() + int(1000 * wait_seconds)
    error = outcome.error or ""
    by: Cause = "outage" if outcome.verdict is Verdict.RELEASE else "refusal"
    attempt.at_each_shard(lambda shard: shard.hold(until_ms, by=by, why=error))


def end_probe(attempt: Attempt) -> None:
    """Let another probe go if this attempt was one; does nothing after VWO's answer to it."""
    if not attempt.probe:
        return
    try:
        circuit = attempt.worker.circuit(attempt.registration.destination.queue)
        circuit.end_probe(attempt.probe, answered=False)
    except QueueUnavailable as exc:
        log.debug("the permit to probe runs out by itself: %s", exc)
