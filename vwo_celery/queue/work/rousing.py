"""Rousing: see that a worker takes a wake-up now, instead of trusting that one was heard before.

Stage 2 of an event's way, at an operator's request. A worker that was killed counts as listening for
a while, since it could not take its note back. One that lives takes a wake-up at once, and renews its
note within seconds. If the process dies here, a wake-up is left that some worker takes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from vwo_celery.clocks import monotonic
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.listening import LONGEST_SILENCE_SECONDS, listening, spell
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.work.obstacles import no_worker
from vwo_celery.text.amounts import span

#: Longest wait for a worker's sign of life: the longest silence of one that listens.
ROUSE_SECONDS: Final = LONGEST_SILENCE_SECONDS
_POLL_SECONDS = 0.05


def why_asleep(fleet: Fleet, shards: Sequence[Shard], *, wait_seconds: float | None = None) -> str:
    """Leave a wake-up, and say why no worker seems to take it; "" as soon as one shows that it lives.

    Args:
        fleet: The queues.
        shards: The shards of which one is woken for; at least one.
        wait_seconds: Longest wait for a sign; by default `ROUSE_SECONDS`.

    Raises:
        QueueUnavailable: There is one server, and it did not answer.
    """
    wait_seconds = ROUSE_SECONDS if wait_seconds is None else wait_seconds
    try:
        return _why_asleep(fleet, shards[0], wait_seconds)
    except QueueUnavailable:
        if not fleet.in_cluster:
            raise
        return ""  # the part of a Cluster is away that knows the workers


def _why_asleep(fleet: Fleet, shard: Shard, wait_seconds: float) -> str:
    since_ms, ends_at = fleet.now_ms(), monotonic() + wait_seconds
    # Without a slot: where every lane is busy, it only shows that its taker lives.
    fleet.leave_wakeups(shard.queue, shard.number, [""])
    while fleet.waiting_wakeups() and max(fleet.heard_ms().values(), default=0) < since_ms:
        left_seconds = ends_at - monotonic()
        if left_seconds <= 0:
            return _spell(fleet, wait_seconds)
        time.sleep(min(_POLL_SECONDS, left_seconds))
    return ""


def _spell(fleet: Fleet, waited_seconds: float) -> str:
    workers = listening(fleet)
    if not workers:
        return no_worker()
    return f"no worker took its wake-up within {span(waited_seconds)}: {spell(workers)}"
