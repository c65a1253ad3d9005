"""Freeze a worker while it holds a batch, so that killing it leaves a lease to run out.

Nothing in Redis says which worker holds a lease, so the worker is frozen
(SIGSTOP): a batch still in flight when the other workers have long settled theirs is its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from vwo_celery.demo.children import Child

#: Many times the seconds from the claim of a batch to its settling.
_HOLD_SECONDS = 1.0
_GIVE_UP_SECONDS = 15.0
_POLL_SECONDS = 0.03


def freeze_with_batch(
    worker: Child, in_flight: Callable[[], dict[str, int]], tick: Callable[[], None]
) -> dict[str, int]:
    """Freeze *worker* at a moment when it holds a batch.

    Args:
        worker: Stays frozen if a batch is returned, and runs on if none is.
        in_flight: Returns the batches that any worker holds now, with their numbers of events.
        tick: Called again and again meanwhile; may raise to end the demo.

    Returns:
        The batches that it holds; none if it was never seen with one before time was up.
    """
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        worker.freeze()
        held = _batches_that_stay(in_flight, tick)
        if held:
            return held
        worker.thaw()
        tick()
        time.sleep(_POLL_SECONDS)
    return {}


def _batches_that_stay(
    in_flight: Callable[[], dict[str, int]], tick: Callable[[], None]
) -> dict[str, int]:
    held = in_flight()
    until = time.monotonic() + _HOLD_SECONDS
    while held and time.monotonic() < until:
        tick()
        time.sleep(_POLL_SECONDS)
        now = in_flight()
        held = {batch: events for batch, events in held.items() if batch in now}
    return held
