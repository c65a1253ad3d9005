"""Follow outcomes of batches as workers publish them, over any outage of Redis.

Beside stage 6 of an event's way. Pub/sub keeps nothing: what is published while the connection is gone is
never heard. So each gap is told, with the number of events that the ledger's counters say were settled
in it. Whoever follows says so in the shards' meta hash, again and again. If the process dies here, that
word runs out, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from vwo_celery.clocks import monotonic
from vwo_celery.connections import unavailable
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.pipelining import Command, send_all
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.words.keys import as_text
from vwo_celery.queue.work.results import INTEREST_SECONDS, Settled, outline

#: Longest wait for a message, between which the caller may stop.
_POLL_SECONDS: Final = 0.5
#: Pause before the next attempt to reach Redis.
_RETRY_SECONDS: Final = 1.0
#: Most channels of one command.
_CHANNELS_AT_ONCE: Final = 500


class Heard(NamedTuple):
    """One outcome: its queue, number of events, and error, None if VWO accepted them."""

    queue: str
    events: int
    error: str | None
    settled: Settled


class Lost(NamedTuple):
    """Redis is out of reach: what is published from now on is not heard."""

    why: str


class Missed(NamedTuple):
    """Redis can be reached again; what was published meanwhile was not heard.

    Attributes:
        seconds: Length of the gap.
        delivered: Number of events that were delivered meanwhile, about; None if Redis lost count.
        dead: Number of events that became dead letters meanwhile, about; None as above.
    """

    seconds: float
    delivered: int | None
    dead: int | None


Told = Heard | Lost | Missed


def follow(
    fleet: Fleet,
    choose: Callable[[], Sequence[Shard]],
    wait: Callable[[float], Any],
) -> Iterator[Told | None]:
    """Yield outcomes as they are published; None when none came for a moment. It never ends.

    Args:
        fleet: The queues.
        choose: The shards to follow; asked every few seconds, since queues come.
        wait: Sleeps for some seconds.

    Raises:
        QueueUnavailable: Redis did not answer before the first outcome could be heard.
    """
    listener = _Listener(fleet, choose)
    lost_at: float | None = None
    begun = False
    while True:
        try:
            listener.open()
            if lost_at is not None:
                yield listener.missed(monotonic() - lost_at)
            lost_at, begun = None, True
            yield from listener.listen()
        except QueueUnavailable as exc:
            if not begun:
                raise
            if lost_at is None:
                lost_at = monotonic()
                yield Lost(str(exc))
            yield None
            wait(_RETRY_SECONDS)
        finally:
            listener.close()


class _Listener:
    """One subscription, renewed after each gap, and the ledger's counters when it began."""

    def __init__(self, fleet: Fleet, choose: Callable[[], Sequence[Shard]]) -> None:
        self._fleet = fleet
        self._choose = choose
        self._subscription: Any = None
        self._channels: dict[str, str] = {}
        self._spoke_at = 0.0
        self._base: dict[str, tuple[int, int]] = {}
        self._heard = [0, 0]

    def open(self) -> None:
        """Subscribe, and say that somebody listens."""
        with unavailable("subscription to results"):
            self._subscription = self._fleet.client.pubsub(ignore_subscribe_messages=True)
        self._channels = {}
        self._renew()

    def close(self) -> None:
        """End the subscription."""
        if self._subscription is not None:
            with suppress(QueueUnavailable), unavailable("end of a subscription"):
                self._subscription.close()
            self._subscription = None

    def missed(self, seconds: float) -> Missed:
        """The gap that has just ended; counting begins anew."""
        before, heard = self._base, self._heard
        now = self._counters(self._choose())
        self._base, self._heard = now, [0, 0]
        changes = [
            sum(now.get(name, numbers)[n] - numbers[n] for name, numbers in before.items())
            - heard[n]
            for n in range(2)
        ]
        forgotten = any(now.get(name, numbers)[0] < numbers[0] for name, numbers in before.items())
        if forgotten:  # deliveries are never counted down: Redis came back without its counters
            return Missed(seconds, None, None)
        return Missed(seconds, *(max(0, each) for each in changes))

    def listen(self) -> Iterator[Heard | None]:
        """Yield what is heard, until the connection is gone."""
        while True:
            if monotonic() - self._spoke_at > INTEREST_SECONDS / 2:
                self._renew()
            with unavailable("results"):
                message = self._subscription.get_message(timeout=_POLL_SECONDS)
            yield self._read(message) if message is not None else None

    def _read(self, message: dict[str, Any]) -> Heard | None:
        queue = self._channels.get(as_text(message["channel"]))
        found = outline(message["data"]) if isinstance(message["data"], bytes) else None
        if queue is None or found is None:  # anyone with access to Redis can publish anything
            return None
        error, events, settled = found
        if error is None:
            self._heard[0] += events
        elif settled.outcome == "dead_lettered":
            self._heard[1] += events
        return Heard(queue, events, error, settled)

    def _renew(self) -> None:
        """Subscribe to queues that are new, and say that somebody listens to all of them."""
        shards = self._choose()
        until_ms = self._fleet.now_ms() + as_ms(INTEREST_SECONDS)
        metas = [shard.keys.meta for shard in shards]
        # First, so that whatever is settled once somebody can be seen to listen is published.
        self._send(Command(key, ("HSET", key, "results_until", until_ms)) for key in metas)
        wanted = {self._fleet.keys.results(shard.queue): shard.queue for shard in shards}
        new = [channel for channel in wanted if channel not in self._channels]
        self._channels |= wanted
        with unavailable("subscription to results"):
            for start in range(0, len(new), _CHANNELS_AT_ONCE):
                self._subscription.subscribe(*new[start : start + _CHANNELS_AT_ONCE])
        known = self._base
        new_shards = [shard for shard in shards if shard.keys.name not in known]
        self._base = known | self._counters(new_shards)
        self._spoke_at = monotonic()

    def _counters(self, shards: Sequence[Shard]) -> dict[str, tuple[int, int]]:
        """Events of each shard that were delivered, and that are dead, by its ledger."""
        metas = [shard.keys.meta for shard in shards]
        found = self._send(Command(key, ("HMGET", key, "delivered", "dead")) for key in metas)
        return {
            shard.keys.name: (int(delivered or 0), int(dead or 0))
            for shard, (delivered, dead) in zip(shards, found, strict=True)
        }

    def _send(self, commands: Iterable[Command]) -> list[Any]:
        """Send commands; an error of one is an error of all."""
        with unavailable("word of interest in results"):
            answers = send_all(self._fleet.client, [*commands], ())
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers
