"""The queue of one destination, as an application holds it.

Stage 1 of an event's way: each call is one call of the `Producer` beneath. A flush stands beside
the way and only hastens what happens anyway. If the process dies inside a call without a receipt,
its events may or may not be stored; see `producer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from vwo_celery.clocks import monotonic
from vwo_celery.destinations import Destination
from vwo_celery.errors import DestinationError, VwoCeleryError
from vwo_celery.producing.producer import Producer
from vwo_celery.producing.watching import is_watched, watched
from vwo_celery.queue.work import flushing
from vwo_celery.receipts import DrainResult, FlushResult, Receipt
from vwo_celery.settings import Settings
from vwo_celery.settings.arguments import BatchOptions, SettingsArguments, with_options
from vwo_celery.settings.batch_event_data import parse_batch_event_data
from vwo_celery.text.amounts import count

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Queue:
    """The queue of one destination. Made by `connect` or `attach`.

    Threads and greenlets may share it, and a forked child may use the one that it inherits. Nothing
    is connected before the first use.

    Attributes:
        name: The queue's name in keys, commands and logs.
        destination: Where the events go.
        batch: When a batch is sent, and the `flush_callback`.
        settings: The settings in use.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self.name = producer.name
        self.destination = producer.destination
        self.batch = producer.batch
        self.settings = producer.settings

    def enqueue(self, event: Any) -> Receipt:
        """Store one event; it is sent with the batch that it falls into.

        Args:
            event: A mapping, a struct of `vwo_celery.event_kinds`, or the bytes of one JSON object.

        Returns:
            The event's receipt; falsy only if the event was dropped.

        Raises:
            QueueFull: Only with `when_full="raise"`: queue and spool are full, and the event is not
                stored. Nothing else, whatever goes wrong; what ends the program passes.
        """
        if is_watched():
            return watched(lambda: [self._producer.enqueue(event)], 1)[0]
        return self._producer.enqueue(event)

    def enqueue_many(self, events: Iterable[Any]) -> list[Receipt]:
        """Store events in their order, in one round trip for each thousand events or megabyte.

        Returns:
            A receipt for each event, in order. An event that cannot be encoded is dropped alone.

        Raises:
            QueueFull: Only with `when_full="raise"`; events of earlier thousands are stored. An
                exception of *events* itself passes before anything is stored; no other is raised.
        """
        if is_watched():
            given = list(events)
            return watched(lambda: self._producer.enqueue_many(given), len(given))
        return self._producer.enqueue_many(events)

    def flush_events(self, timeout_seconds: float = 10.0) -> FlushResult:
        """Send everything that any process enqueued before this call, and wait for the outcome.

        Events in this host's spool count as pending until they are in Redis.

        Args:
            timeout_seconds: Longest wait; 0 only wakes the workers.

        Returns:
            What was achieved; truthy only if everything was delivered. Events that are still
            pending stay in the queue, and are sent as soon as a worker can.
        """
        started = monotonic()
        host, registration = self._producer.host, self._producer.registration
        try:
            drained = host.drain(timeout_seconds, give_up=True)
            spooled = host.count(self.name)
            why = f"{count(spooled, 'event')} still in this host's spool: {drained.reason}"
            if spooled and not drained.drained:
                return FlushResult(pending=spooled, reason=why)
            left_seconds = max(0.0, timeout_seconds - (monotonic() - started))
            counts = flushing.flush(host.open_fleet(), registration, timeout_seconds=left_seconds)
        except VwoCeleryError as exc:
            return FlushResult(reason=str(exc))
        if spooled:
            reason = f"{why}; {counts.reason}" if counts.reason else why
            counts = counts._replace(pending=counts.pending + spooled, reason=reason)
        return FlushResult(**counts._asdict())

    def results(
        self, timeout_seconds: float | None = None
    ) -> Iterator[tuple[str | None, list[Any]]]:
        """Yield (error, events) of each batch of this queue, as workers report them; best effort.

        A batch that is reported while nobody iterates, or while Redis is away, is not seen.

        Args:
            timeout_seconds: Longest wait for a report before the iteration ends; None for no end.
        """
        from vwo_celery.queue.work.results import listen

        return listen(
            self._producer.host.open_fleet(), self._producer.registration, timeout_seconds
        )

    def spooled(self) -> int:
        """Count this queue's events on this host's disk, those of other processes included.

        Raises:
            SpoolUnavailable: The spool cannot be read.
        """
        return self._producer.host.count(self.name)

    def drain_spool(self, timeout_seconds: float = 5.0) -> DrainResult:
        """Move the events of this host's spool, of all its queues, to Redis, in this thread.

        The spool usually drains by itself; this is for programs that end, and for those without
        threads.

        Args:
            timeout_seconds: Longest wait; a page that is under way by then is finished.

        Returns:
            What was achieved; truthy only if the spool is empty now.
        """
        return self._producer.host.drain(timeout_seconds)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Number of events that this process dropped, by reason."""
        return dict(self._producer.fallback.dropped)

    @property
    def not_replicated(self) -> int:
        """Number of this process' stored events that too few replicas confirmed in time."""
        return self._producer.not_replicated

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: a copy would share marks, and take passwords along.

        Raises:
            TypeError: Always; a forked process may use the queue that it inherits.
        """
        raise TypeError(
            "a queue cannot be pickled or copied; call vwo_celery.connect, or attach, where it is "
            "used"
        )

    def __repr__(self) -> str:
        return f"<Queue {self.name} of {self.destination!r}>"


def producer_of(queue: Queue) -> Producer:
    """Return the producer beneath *queue*, for this package's adapters and tests."""
    return queue._producer


@with_options
def connect(
    destination: Destination,
    *,
    batch_event_data: BatchOptions = None,
    strict: bool = False,
    settings: Settings | None = None,
    redis: Any = None,
    **arguments: Unpack[SettingsArguments],
) -> Queue:
    """Return the queue of *destination*, without an SDK. Connects to nothing yet.

    Args:
        destination: Where the events go.
        batch_event_data: The SDKs' batch options, listed below: when a batch leaves, and whom to
            tell of it. With neither number, every event leaves at once.
        strict: Raise for a wrong batch option instead of logging it and using its default.
        settings: Ready-made settings; else they come from *arguments*, Django, the environment.
        redis: A client of redis-py for threads; the queue uses the server that it leads to, with
            its login and TLS, on connections and with timeouts of its own.
        arguments: Single settings, listed below.

    Raises:
        DestinationError: *destination* is something else.
        SettingsError: A setting is wrong, or *redis*; or, with *strict*, a batch option.
    """
    if not isinstance(destination, Destination):
        raise DestinationError(
            "connect takes a vwo_celery.Destination(account_id=…, sdk_key=…, generation=…); a value "
            f"of type {type(destination).__name__} was given"
        )
    batch = parse_batch_event_data(batch_event_data, strict=strict)
    settings = settings if settings is not None else Settings.load(**arguments)
    return Queue(Producer(destination, batch, settings, redis))
