"""Limits that a queue's scripts obey, computed from its batch options and the settings.

Pure: nothing to lose.
"""

from __future__ import annotations

from vwo_celery.events import BODY_OVERHEAD_BYTES, MAX_BODY_BYTES, MAX_EVENTS_PER_REQUEST
from vwo_celery.queue.capacity import share
from vwo_celery.queue.words.batches import Limits, as_ms
from vwo_celery.settings import BatchSettings, Settings

#: Sweeps that a wake-up slot outlives when no task picks the wake-up up.
SLOT_SWEEPS = 3
_SHORTEST_SLOT_SECONDS = 3.0


def limits_of(batch: BatchSettings, settings: Settings) -> Limits:
    """Return the limits of each shard: the queue's own, divided by the number of shards."""
    shards = settings.shards
    return Limits(
        events_per_request=batch.events_per_request,
        interval_ms=batch.request_time_interval_ms,
        batch_bytes=MAX_BODY_BYTES - BODY_OVERHEAD_BYTES,
        capacity_events=share(settings.max_queue_events, shards),
        capacity_bytes=share(settings.max_queue_bytes, shards),
        parallel=share(settings.max_parallel_sends, shards),
        slot_ttl_ms=as_ms(
            max(_SHORTEST_SLOT_SECONDS, SLOT_SWEEPS * settings.sweep_interval_seconds)
        ),
        batch_events=MAX_EVENTS_PER_REQUEST if batch.is_least else 0,
    )
