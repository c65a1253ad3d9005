"""Pause and resume: stop and restart the sending of whole queues.

One script stops one shard: if the process dies in between, the others are as they were, and the
same command does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vwo_celery.connections import unavailable
from vwo_celery.operating.looks.inspector import partly_away, shards_of
from vwo_celery.operating.operations.failures import NOT_WOKEN, Failures
from vwo_celery.operating.operations.waking import wake
from vwo_celery.operating.past.audit import Actor, recorded
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.circuit import forget_circuit
from vwo_celery.queue.holding.pauses import pause_all
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import count

#: The reason of an operator who gives none; a pause without a text would be none to older releases.
NO_REASON = "no reason given"


def pause(
    fleet: Fleet, actor: Actor, registered: Mapping[str, Registration], reason: str = ""
) -> list[str]:
    """Pause these queues; the names of those that no operator had paused before.

    Batches in flight are settled as usual. A queue that an operator has paused before keeps that one's
    name, reason and time; one that VWO refuses keeps that reason, and gets this one beside it.

    Args:
        fleet: The queues.
        actor: Who asks for it; kept with the queue.
        registered: The queues.
        reason: Their reason.

    Raises:
        QueueUnavailable: Redis did not answer, and some queues may be paused; or the keys of one do
            not let themselves be changed, or are on a part that is away, and the others are.
    """
    with recorded(
        fleet, actor, "pause", queues=registered, reason=reason, matched=len(registered),
        unit="queues",
    ) as entry:  # fmt: skip
        shards = [shard for those in shards_of(fleet, registered).values() for shard in those]
        found, failed = pause_all(fleet, shards, reason or NO_REASON, str(actor))
        failures = Failures()
        failures.note_away(away := partly_away(fleet, registered))
        paused = sorted(found - failed.keys() - {*away})  # not those of which some shards are
        entry.done = len(paused)
        entry.note = _as_before("paused", [*paused, *failed, *away], registered)
        for queue, exc in failed.items():
            with failures.of(queue), unavailable("pause"):
                raise exc
        failures.tell(f"paused {count(len(paused), 'queue')}")
    return paused


def resume(fleet: Fleet, actor: Actor, registered: Mapping[str, Registration]) -> list[str]:
    """End the stop of these queues and wake the workers; the names of those that were stopped.

    Whether an operator or a worker paused them, or the circuit is open: released batches are due at
    once, too.

    Args:
        fleet: The queues.
        actor: Who asks for it.
        registered: The queues.

    Raises:
        QueueUnavailable: Redis did not answer, and some queues may be resumed; or the keys of one do
            not let themselves be changed, or are on a part that is away, and the others are.
    """
    resumed, failures, asleep = [], Failures(), Failures(NOT_WOKEN)
    with recorded(
        fleet, actor, "resume", queues=registered, matched=len(registered), unit="queues"
    ) as entry:
        failures.note_away(partly_away(fleet, registered))
        for queue, shards in shards_of(fleet, registered).items():
            was_stopped = _resume(queue, shards, failures)
            if was_stopped and queue not in failures.errors:
                resumed.append(queue)
                entry.done += 1
            for shard in shards if was_stopped else ():
                with asleep.of(queue):
                    wake(fleet, shard)
        entry.note = _as_before("not stopped", [*resumed, *failures.errors], registered)
        done = f"resumed {count(len(resumed), 'queue')}"
        failures.tell(done)
        asleep.tell(done)
    return resumed


def _resume(queue: str, shards: Sequence[Shard], failures: Failures) -> bool:
    """End the stop of each shard of a queue that lets itself be changed; False if there was none."""
    was_stopped = 0
    with failures.of(queue):
        for first in shards[:1]:
            forget_circuit(first)  # else a shard that is let go would be held again
        for shard in shards:
            with failures.of(queue):
                was_stopped += shard.resume()
                was_stopped += shard.let_go(hasten=True)
    return was_stopped > 0


def _as_before(state: str, changed: Iterable[str], meant: Iterable[str]) -> str:
    """Which queues were in that state before, for whoever reads the audit; "" if none was."""
    left = sorted({*meant} - {*changed})
    return f"{state} before: {', '.join(left)}" if left else ""
