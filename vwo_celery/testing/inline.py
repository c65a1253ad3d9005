"""Inline delivery: a test sends what the application enqueued, itself, without worker or beat.

Stages 1 to 6 of an event's way in one process: the real scripts in a real Redis, the real claims,
requests and outcomes, signals and callbacks. Only the destination's host is another: a stand-in for
VWO. Time passes when the test says so: it never sleeps, and no delay is drawn that it would wait for.
If the process dies, what it kept in Redis under its own namespace stays there.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from vwo_celery.connections import shared_client
from vwo_celery.delivering.batch_log import OUTCOMES
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.producing.producer import Producer
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling.waiting import hasten
from vwo_celery.queue.holding.circuit import forget_circuit
from vwo_celery.queue.looks.numbers import undelivered_events
from vwo_celery.queue.words.keys import new_token
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work.obstacles import why_pending
from vwo_celery.queue.work.sweeping import sweep_shard
from vwo_celery.receipts import FlushResult, Receipt
from vwo_celery.signals import BatchReport
from vwo_celery.testing.diversion import Undiverted, diverted_to
from vwo_celery.testing.standin import Standin
from vwo_celery.text.amounts import count

_TIMEOUT_SECONDS = 5.0
#: Delay of a batch that is to wait for the test; a sweep would end a far longer one, as impossible.
_NOT_YET_MS = 3_600_000


class Deliveries(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the batches that a test delivered; truthy if all events were delivered.

    Attributes:
        delivered: A report for each batch that the stand-in accepted.
        released: For each that is to be tried again: the next `deliver` does.
        split: For each that was split into smaller ones, which were then tried in turn.
        dead: For each of which events were dead-lettered.
        stopped: For each whose answer stopped its queue.
        pending: Number of events that are neither delivered nor dead nor dropped.
        why: Why they are not delivered; "" if none is left.
    """

    delivered: tuple[BatchReport, ...] = ()
    released: tuple[BatchReport, ...] = ()
    split: tuple[BatchReport, ...] = ()
    dead: tuple[BatchReport, ...] = ()
    stopped: tuple[BatchReport, ...] = ()
    pending: int = 0
    why: str = ""

    def __bool__(self) -> bool:
        return not (self.dead or self.pending)

    def __repr__(self) -> str:
        told = [
            f"{_events(reports)} {outcome}{_errors(reports)}"
            for outcome in OUTCOMES.values()
            if (reports := getattr(self, outcome))
        ]
        if self.pending > sum(report.count for report in self.released):
            told.append(f"{count(self.pending, 'event')} pending: {self.why}")
        return f"<Deliveries: {'; '.join(told) or 'nothing to send'}>"


def _events(reports: Sequence[BatchReport]) -> str:
    return count(sum(report.count for report in reports), "event")


def _errors(reports: Sequence[BatchReport]) -> str:
    errors = dict.fromkeys(report.error for report in reports if report.error)
    return f" ({'; '.join(errors)})" if errors else ""


class InlineDelivery:
    """Delivers to a stand-in what this process' queues enqueue, whenever `deliver` is called.

    Args:
        redis_url: A Redis for tests; keys under a namespace of this object's own.
        collector: The stand-in to which all destinations lead, whatever their host.
    """

    def __init__(self, redis_url: str, collector: Standin) -> None:
        self._redis_url = redis_url
        self._collector = collector
        self._namespace = f"vwo-test-{new_token()}"
        self._twins: dict[Producer, _Twin] = {}
        self._lock = threading.RLock()

    def deliver(self) -> Deliveries:
        """Let the time pass that batches wait for, and try each of them once.

        That seals what is enqueued, ends delays and open circuits, and sends the batches, also the
        parts of one that is split. What VWO's answer releases waits for the next call. A queue that was
        paused stays so; see `resume`. Receivers of signals and a `flush_callback` run in this call.

        Raises:
            QueueUnavailable: The Redis did not answer.
        """
        with self._lock:
            queues = self._queues()
            for queue in queues:
                queue.let_time_pass()
            return _carry_out(queues)

    def resume(self) -> None:
        """Resume the queues that VWO's answers paused, as an operator does."""
        with self._lock:
            for queue in self._queues():
                for shard in queue.shards:
                    shard.resume()

    def take(self, producer: Producer, encoded: Sequence[bytes]) -> Receipt | None:
        """Store events of a queue in the Redis of the test; see `Taker`."""
        with self._lock:
            twin = self._twins.get(producer)
            if twin is None:
                twin = self._twins[producer] = self._twin_of(producer)
        return twin.producer.store_page(encoded)

    def note_drop(self, producer: Producer, reason: str, count: int, detail: str) -> None:
        """Do nothing: what is dropped is not delivered; see `Taker`."""

    def flush(self, producer: Producer) -> FlushResult | None:
        """Deliver what one queue holds; see `Taker`."""
        with self._lock:
            twin = self._twins.get(producer)
            told = _carry_out([twin]) if twin is not None else Deliveries()
        failed = sum(report.count for report in told.dead)
        delivered = sum(report.count for report in told.delivered)
        return FlushResult(delivered, failed, told.pending, told.why or _errors(told.dead).strip())

    def close(self) -> None:
        """Delete from the Redis what this object has stored there, and close its connections."""
        client = shared_client(self._redis_url, timeout_seconds=_TIMEOUT_SECONDS)
        for key in client.scan_iter(match=f"{self._namespace}:*"):
            client.unlink(key)
        for twin in self._twins.values():
            twin.worker.senders.close()

    def _queues(self) -> list[_Twin]:
        """One twin of each queue, whatever number of producers it has."""
        return list({twin.producer.name: twin for twin in self._twins.values()}.values())

    def _twin_of(self, producer: Producer) -> _Twin:
        hosts = (*producer.settings.allowed_hosts, self._collector.netloc)
        settings = msgspec.structs.replace(
            producer.settings, redis_url=self._redis_url, namespace=self._namespace,
            allowed_hosts=hosts, spool_dir="", wait_replicas=0,
        )  # fmt: skip
        where = msgspec.structs.replace(producer.destination, base_url=self._collector.url)
        return _Twin(Undiverted(where, producer.batch, settings))


class _Twin:
    """A queue of the application as it stands in the Redis of the test, and the worker that sends it."""

    def __init__(self, producer: Undiverted) -> None:
        self.producer = producer
        settings = producer.settings
        client = shared_client(settings.redis_url, timeout_seconds=_TIMEOUT_SECONDS)
        fleet = Fleet(client, settings.namespace)
        self.worker = Worker(fleet, settings, wake=lambda _: None)
        self.shards = [fleet.shard(producer.name, each.number) for each in producer.shards]

    def let_time_pass(self) -> None:
        """Make due what waits for its time, in its order, and close the circuit."""
        forget_circuit(self.shards[0])
        for shard in self.shards:
            shard.let_go()
            while hasten(shard).batches:
                pass

    def put_off(self, report: BatchReport) -> None:
        """Let a batch wait for the test, whatever delay was drawn for it."""
        due_ms = self.worker.fleet.now_ms() + _NOT_YET_MS
        for shard in self.shards:
            shard.client.zadd(shard.keys.ready, {report.batch: due_ms}, xx=True)

    def send(self) -> None:
        """Seal what is enqueued, and try what is due until nothing is."""
        self.worker.fleet.note_listener(self.worker.name)
        for shard in self.shards:
            sweep_shard(shard, force=True)
            while deliver(self.worker, Wakeup(shard.queue, shard.number, "")):
                pass

    @property
    def pending(self) -> int:
        """Number of events that are neither delivered nor dead nor dropped."""
        return sum(map(undelivered_events, self.shards))

    def why_pending(self) -> str:
        """Why they are not delivered."""
        return why_pending(self.worker.fleet, self.shards)


def _carry_out(twins: Sequence[_Twin]) -> Deliveries:
    """Send what some queues hold, and collect the reports."""
    reports: defaultdict[str, list[BatchReport]] = defaultdict(list)
    with _reporting(twins, reports):
        for twin in twins:
            if twin.producer.is_registered:
                twin.send()
    left = [twin for twin in twins if twin.pending]
    return Deliveries(
        **{outcome: tuple(found) for outcome, found in reports.items()},
        pending=sum(twin.pending for twin in left),
        why="; ".join(dict.fromkeys(twin.why_pending() for twin in left)),
    )


@contextmanager
def _reporting(
    twins: Sequence[_Twin], reports: defaultdict[str, list[BatchReport]]
) -> Iterator[None]:
    """Collect the reports on batches of these queues, by outcome, and put off those to be tried again."""
    by_queue = {twin.producer.name: twin for twin in twins}

    def note(outcome: str) -> Callable[..., None]:
        def receive(sender: str, report: BatchReport, **_: Any) -> None:
            if sender in by_queue:
                reports[outcome].append(report)
                by_queue[sender].put_off(report)

        return receive

    receivers = [(signal, note(outcome)) for signal, outcome in OUTCOMES.items()]
    for signal, receiver in receivers:
        signal.connect(receiver, weak=False)
    try:
        yield
    finally:
        for signal, receiver in receivers:
            signal.disconnect(receiver)


@contextmanager
def inline_delivery(redis_url: str, collector: Standin) -> Iterator[InlineDelivery]:
    """Deliver inline what this process enqueues until the block ends, by threads or by asyncio.

    Every queue of the process is covered, whoever made it and when. Its events go to *redis_url* instead
    of its own Redis, and from there to *collector*, at each call of `deliver` or `flush_events`.

    Args:
        redis_url: A Redis for tests, such as that of a `RedisServer`.
        collector: A stand-in that runs.
    """
    inline = InlineDelivery(redis_url, collector)
    with diverted_to(inline, first=True):
        try:
            yield inline
        finally:
            inline.close()
