"""What a fleet needs for its load: Redis masters, shards, lanes, workers, network, memory for an outage.

    python fleet.py --events 50000 --way aio.enqueue --answer 0.2 --outage 6

Needs nothing but Python. `Figures` are those of docs/benchmarks.md: put in what you have measured on
your own machines. docs/explanation/scaling.md explains each sum.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import ceil

#: Ways to store an event: one a call, those of 50 awaits gathered, a hundred a call.
WAYS = ("enqueue", "aio.enqueue", "enqueue_many")
#: Upper ends of the settings' ranges, each for one queue.
MOST_SHARDS, MOST_PARALLEL_SENDS = 64, 1_000
MOST_QUEUE_EVENTS, MOST_QUEUE_BYTES = 1_000_000_000, 1_099_511_627_776
#: Shards for each master, which can be spread evenly and leave room for one more master.
SHARDS_A_MASTER = 4


@dataclass(frozen=True)
class Load:
    """What comes, and what has to be borne.

    Attributes:
        events: Events a second, in the busiest minute.
        way: How they are stored, one of WAYS.
        event_bytes: Mean size of an event.
        events_per_request: Events of a batch.
        answer: Seconds that VWO takes for a request.
        outage: Hours of VWO's absence that are to be borne.
        hosts: Hosts of the application, each with a spool.
    """

    events: float
    way: str = "enqueue"
    event_bytes: int = 700
    events_per_request: int = 500
    answer: float = 0.1
    outage: float = 6
    hosts: int = 1


@dataclass(frozen=True)
class Figures:
    """What was measured, and what is kept in reserve.

    Attributes:
        store: Processor time of a master for an event, µs, by the way it is stored.
        drain_batch: The same for a batch on its way out.
        drain_event: The same for each event in it.
        worker_batch: Processor time of a worker for a batch, µs.
        worker_event: The same for each event in it.
        redis_bytes: Bytes of Redis for a byte of a waiting event.
        disk_bytes: Bytes on a disk for a byte of a spooled event.
        busy: Share of a core that a master, or a worker process, is to use in the busiest minute.
        master_bytes: Memory of one master for events.
        spare: Lanes for each that the load keeps busy; with 2, a backlog leaves as fast as it came.
    """

    store: Mapping[str, float] = field(
        default_factory=lambda: {"enqueue": 30, "aio.enqueue": 4.5, "enqueue_many": 2.6}
    )
    drain_batch: float = 130
    drain_event: float = 0.7
    worker_batch: float = 2_000
    worker_event: float = 1.8
    redis_bytes: float = 1.08
    disk_bytes: float = 1.29
    busy: float = 0.6
    master_bytes: float = 48e9
    spare: float = 2


@dataclass(frozen=True)
class Needs:
    """The sums; each field's metadata has its name and how it is told."""

    redis_cores: float = field(metadata={"name": "cores of Redis", "form": ",.3g"})
    masters: int = field(metadata={"name": "masters for the load", "form": ",d"})
    shards: int = field(metadata={"name": "`shards`, over all queues", "form": ",d"})
    requests: float = field(metadata={"name": "requests to VWO a second", "form": ",.0f"})
    lanes: int = field(metadata={"name": "lanes, and `max_parallel_sends`", "form": ",d"})
    worker_cores: float = field(metadata={"name": "cores of workers", "form": ",.3g"})
    workers: int = field(metadata={"name": "worker processes", "form": ",d"})
    gigabits: float = field(
        metadata={"name": "Gbit/s into Redis, out, to VWO: each", "form": ",.2f"}
    )
    backlog: float = field(metadata={"name": "events of the outage", "form": ",.0f"})
    memory: float = field(metadata={"name": "GB of Redis for them", "form": ",.0f"})
    outage_masters: int = field(metadata={"name": "masters for them", "form": ",d"})
    queues: int = field(metadata={"name": "queues at least", "form": ",d"})
    held: float = field(metadata={"name": "hours that one queue can hold", "form": ",.1f"})
    spool: float = field(metadata={"name": "GB on each host, were all spooled", "form": ",.0f"})


def needs(load: Load, figures: Figures) -> Needs:
    """All sums for one load."""
    requests = load.events / load.events_per_request
    redis_cores = load.events * (figures.store[load.way] + figures.drain_event) / 1e6
    redis_cores += requests * figures.drain_batch / 1e6
    masters = ceil(redis_cores / figures.busy)
    worker_seconds = figures.worker_batch + load.events_per_request * figures.worker_event
    worker_seconds /= 1e6
    lanes = ceil(figures.spare * requests * (load.answer + worker_seconds))
    worker_cores = requests * worker_seconds
    backlog = load.events * 3600 * load.outage
    size = backlog * load.event_bytes
    memory = size * figures.redis_bytes
    shards = 1 if masters == 1 else SHARDS_A_MASTER * masters
    most = min(MOST_QUEUE_EVENTS, MOST_QUEUE_BYTES / load.event_bytes)
    return Needs(
        redis_cores=redis_cores,
        masters=masters,
        shards=shards,
        requests=requests,
        lanes=lanes,
        worker_cores=worker_cores,
        workers=ceil(worker_cores / figures.busy),
        gigabits=load.events * load.event_bytes * 8 / 1e9,
        backlog=backlog,
        memory=memory / 1e9,
        outage_masters=max(masters, ceil(memory / figures.master_bytes)),
        queues=max(
            ceil(shards / MOST_SHARDS), ceil(lanes / MOST_PARALLEL_SENDS), ceil(backlog / most)
        ),
        held=most / load.events / 3600,
        spool=size * figures.disk_bytes / load.hosts / 1e9,
    )


def told(found: Needs) -> dict[str, str]:
    """The sums as texts, by their names."""
    return {
        each.metadata["name"]: format(getattr(found, each.name), each.metadata["form"])
        for each in fields(found)
    }


def main() -> None:
    """Print the sums for the load of the command line."""
    parser = argparse.ArgumentParser(description="What a fleet needs for its load.")
    parser.add_argument("--events", type=float, required=True, help="a second, at the busiest")
    parser.add_argument("--way", choices=WAYS, default=WAYS[0], help="how they are stored")
    parser.add_argument("--event-bytes", type=int, default=700)
    parser.add_argument("--events-per-request", type=int, default=500)
    parser.add_argument("--answer", type=float, default=0.1, help="seconds that VWO takes")
    parser.add_argument("--outage", type=float, default=6, help="hours")
    parser.add_argument("--hosts", type=int, default=1, help="hosts of the application")
    for name, text in told(needs(Load(**vars(parser.parse_args())), Figures())).items():
        print(f"{name.replace('`', ''):40} {text:>20}")


if __name__ == "__main__":
    main()
