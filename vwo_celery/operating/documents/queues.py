"""The document of `queues`: where each queue goes, and when its batches leave; keys are masked.

Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from vwo_celery.destinations.spelling import Pairs
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.looks.stops import Failing, Stop
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.masking import mask


class QueueFacts(msgspec.Struct, frozen=True):
    """One queue.

    Attributes:
        queue: Its name.
        generation: "legacy", "fme" or "single".
        account_id: VWO's account.
        sdk_key: The SDK key, masked.
        origin: Scheme, host and port of its requests.
        region: VWO's region, "" for none.
        sdk: Name and version of the SDK that its requests name.
        query: What the request line says of the SDK, in its own spelling; None if that is ours.
        events_per_request: Number of events at which a batch leaves.
        request_time_interval: Age of its oldest event, in seconds, at which it leaves.
        shards: Number of its shards.
        flush_callback: The function that is told of each outcome, "" for none.
        open_keys: Keys of the lists onto which other programs may push events.
        stopped: Why nothing is claimed; None if it is.
        failing: The batch that failed most; None if none failed.
    """

    queue: str
    generation: str
    account_id: str
    sdk_key: str
    origin: str
    region: str
    sdk: tuple[str, str]
    query: Pairs | None
    events_per_request: int
    request_time_interval: float
    shards: int
    flush_callback: str
    open_keys: list[str]
    stopped: Stop | None
    failing: Failing | None


def queue_facts(fleet: Fleet, registered: Mapping[str, Registration]) -> list[QueueFacts]:
    """These queues; those on a part of a Cluster that is away are left out.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    views = {view.queue: view for view in inspector.view_queues(fleet, registered)}
    return [
        QueueFacts(
            **destination_facts(registered[queue]),
            events_per_request=registered[queue].limits.events_per_request,
            request_time_interval=registered[queue].limits.interval_ms / 1000,
            shards=registered[queue].shards,
            flush_callback=registered[queue].flush_callback,
            open_keys=open_keys(fleet, queue, registered[queue]),
            stopped=view.stopped,
            failing=view.failing,
        )
        for queue, view in views.items()
    ]


def open_keys(fleet: Fleet, queue: str, registration: Registration) -> list[str]:
    """Keys of a queue's open lists."""
    return [fleet.shard(queue, i).keys.open for i in range(registration.shards)]


def destination_facts(registration: Registration) -> dict[str, Any]:
    """A queue and its destination, for a document; the key is masked."""
    destination = registration.destination
    return {
        "queue": destination.queue,
        "generation": destination.generation,
        "account_id": str(destination.account_id),
        "sdk_key": mask(destination.sdk_key),
        "origin": destination.origin,
        "region": destination.region,
        "sdk": destination.sdk,
        "query": destination.spelled,
    }
