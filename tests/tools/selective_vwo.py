"""A VWO that accepts or refuses each batch by rule, and a worker in the test's own process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import vwo_celery
from tools.waiting import wait_until
from vwo_celery import signals
from vwo_celery.connections import open_worker_client
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.snapshots import Snapshot, take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import sweeping
from vwo_celery.signals import BatchReport
from vwo_celery.testing import Standin
from vwo_celery.testing.standin.faults import FaultLike
from vwo_celery.testing.standin.rules import Request

Judge = Callable[[list[int]], FaultLike]
Make = Callable[..., "Delivering"]
#: Keys to declare of a queue that is not empty.
KEPT = ("ready", "info", "batch", "watched")


def numbers_in(request: Request) -> list[int]:
    """Numbers of the events in a request, as given to `Delivering.enqueue`."""
    return [each["d"]["event"]["time"] for each in json.loads(request.body)["ev"]]


def numbers_of(report: BatchReport) -> list[int]:
    """Numbers of the events in a report."""
    return [each["d"]["event"]["time"] for each in report.events]


def event(number: int, padding: int = 0) -> dict[str, Any]:
    """An event that VWO accepts, identified by its number, and so many bytes longer."""
    told = {"props": {"p": "x" * padding} if padding else {}, "name": "purchase", "time": number}
    return {"d": {"msgId": "A-1", "visId": "A" * 32, "sessionId": 1, "event": told}}


class Vwo:
    """A stand-in whose answer depends on the events of the batch."""

    def __init__(self) -> None:
        self.judge: Judge = lambda numbers: None
        self.standin = Standin(faults=self.answer)

    def answer(self, request: Request) -> Any:
        """The fault for one request."""
        return self.judge(numbers_in(request))

    @property
    def accepted(self) -> list[list[int]]:
        """The numbers in each request that was accepted, in order."""
        taken = [each for each in self.standin.requests if 200 <= each.status < 300]
        return [numbers_in(each) for each in taken]


class Delivering:
    """One queue, one worker, and a VWO that answers each batch as `judge` says.

    Args:
        redis_url: Of an empty Redis.
        standin: VWO; its faults must be `self.answer`.
        per_request: The queue's events_per_request.
        sdk_version: The destination's; "" for the newest.
        settings: The worker's and the producer's.
    """

    def __init__(
        self,
        redis_url: str,
        standin: Standin,
        *,
        per_request: int = 8,
        sdk_version: str = "",
        **settings: Any,
    ) -> None:
        options = {
            "backoff_base_seconds": 0.01, "backoff_max_seconds": 0.05,
            "allowed_hosts": [standin.netloc], **settings,
        }  # fmt: skip
        self.standin = standin
        self.queue = vwo_celery.connect(
            vwo_celery.Destination(
                account_id=1,
                sdk_key="k" * 32,
                generation="fme",
                base_url=standin.url,
                sdk_version=sdk_version,
            ),
            batch_event_data={"events_per_request": per_request},
            redis_url=redis_url,
            enqueue_timeout_seconds=5.0,
            **options,
        )
        self.woken: list[Wakeup] = []
        #: The test's own way to the queue, whatever becomes of the worker's.
        self.fleet = Fleet(open_worker_client(redis_url), self.queue.settings.namespace)
        self.worker = Worker(self.fleet, self.queue.settings, self.woken.append)
        self.told: list[tuple[Any, BatchReport]] = []

    def listen(self) -> Callable[[], None]:
        """Note every signal from now on; call the returned function to stop."""

        def hear(signal: Any = None, report: Any = None, **_: Any) -> None:
            self.told.append((signal, report))

        heard = (
            signals.batch_delivered, signals.batch_released, signals.batch_split,
            signals.batch_dead_lettered, signals.destination_paused,
        )  # fmt: skip
        for signal in heard:
            signal.connect(hear)
        return lambda: [signal.disconnect(hear) for signal in heard] and None

    def enqueue(self, *numbers: int) -> None:
        """Enqueue events of these numbers."""
        assert all(self.queue.enqueue_many(event(number) for number in numbers))

    def deliver(self) -> int:
        """Seal all open events and let the worker deliver; return the number of batches."""
        for shard in producer_of(self.queue).shards:
            sweeping.sweep_shard(shard, force=True)
        return sum(
            deliver(self.worker, Wakeup(self.queue.name, shard.number, ""))
            for shard in producer_of(self.queue).shards
        )

    def deliver_until(self, done: Callable[[], object], timeout_seconds: float = 10.0) -> None:
        """Let the worker deliver until *done*."""
        wait_until(lambda: self.deliver() >= 0 and done(), timeout_seconds)

    @property
    def shard(self) -> Shard:
        """The first shard that the producer uses."""
        return self.fleet.shard(self.queue.name, producer_of(self.queue).shards[0].number)

    @property
    def state(self) -> Snapshot:
        """The first shard as the ledger sees it."""
        return take_snapshot(self.shard)

    @property
    def taken(self) -> Counter[int]:
        """Number of each event that VWO accepted, and how often."""
        return Counter(each["d"]["event"]["time"] for each in self.standin.events)

    @property
    def statuses(self) -> list[int]:
        """HTTP status of each answer."""
        return [request.status for request in self.standin.requests]

    def reports(self, signal: Any) -> list[BatchReport]:
        """The reports that came with one signal."""
        return [report for name, report in self.told if name is signal]


def proven(made: Delivering) -> Delivering:
    """Make VWO accept one event of the queue, number 100."""
    made.enqueue(100)
    made.deliver()
    assert made.taken == Counter([100])
    return made


def purge(made: Delivering) -> None:
    """Purge all dead letters."""
    for batch in made.state.batches:
        assert made.shard.purge(batch.id)


@contextmanager
def workers_of(redis_url: str, vwo: Vwo) -> Iterator[Make]:
    """What makes a queue and its worker, until the block ends."""
    ends: list[Callable[[], None]] = []

    def make_one(**options: Any) -> Delivering:
        made = Delivering(redis_url, vwo.standin, **options)
        ends.append(made.listen())
        return made

    yield make_one
    for end in ends:
        end()
