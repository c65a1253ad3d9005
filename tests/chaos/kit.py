"""What a fleet is made of, and the load that its applications carry."""

from __future__ import annotations

import msgspec

EVENTS_PER_REQUEST = 20
PARALLEL_SENDS = 4
#: Most shards of a queue, in any row.
SHARDS = 4
LEASE_SECONDS = 6
REQUEST_TIMEOUT_SECONDS = 3


class Kit(msgspec.Struct, frozen=True):
    """Parts of a fleet; rows with the same kit share one fleet.
    Attributes:
        store: Store of the queues: "single", "sentinel" or "cluster".
        own_broker: Whether Celery's broker is a separate Redis; required unless the store is single.
        pool: Celery's worker pool.
        backoff_base_seconds: The workers' setting, of which the waits after a refusal are multiples.
        relays: Number of relays through which the applications send; 0 for none.
        relay_workers: Processes of each.
        relay_spool: Whether they have a spool.
    """

    store: str = "single"
    own_broker: bool = False
    pool: str = "prefork"
    backoff_base_seconds: float = 1.0
    relays: int = 0
    relay_workers: int = 1
    relay_spool: bool = True


PLAIN = Kit()


class Traffic(msgspec.Struct, frozen=True):
    """Load of each application; see `application.Load`.

    `forms` are those of the applications in turn, where they send through relays.
    """

    applications: int = 2
    per_second: float = 60.0
    burst: int = 30
    burst_every_seconds: float = 1.0
    jitter: float = 0.0
    poison_every: int = 0
    forms: tuple[str, ...] = ("legacy", "fme", "fme", "legacy")
