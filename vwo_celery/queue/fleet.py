"""The data that all queues of a namespace share in Redis: registrations, wake-ups, signs of life.

Stages 1 to 6; owns the keys without a hash tag, which plain commands read and write. No
event is stored here. If the process dies here, a wake-up or a sign of life may be lost; the next
sweep makes up for it. A lost registration is written again by the next enqueue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.connections.cluster import is_cluster_client
from vwo_celery.errors import QueueUnknown
from vwo_celery.queue import registry
from vwo_celery.queue.batches import as_ms
from vwo_celery.queue.keys import FleetKeys, as_text, fleet_keys, split_shard_name
from vwo_celery.queue.pipelining import Call, run_all
from vwo_celery.queue.registration import (
    UNREADABLE,
    Registered,
    Registration,
    Registrations,
    Wakeup,
)
from vwo_celery.queue.routes import Route, routes_of
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard

#: Most wake-ups kept while no worker listens; more would not speed up the first worker.
MOST_WAKEUPS = 1000
#: Time after which a worker that has not listened counts as gone.
LISTENER_TTL_SECONDS = 15.0
#: Runners of the sweep: the task that beat sends, and a listener while beat is silent.
SWEEPERS = ("beat", "listener")
#: Signs of life: a sweep by each runner, a task of another kind, a batch sent by a listener.
_SIGNS = (*SWEEPERS, "task", "rescue")
_AUDIT_CURSOR = "audit_cursor"
#: Fields of the pulse: Unix ms of the last task message that came to the wrong fleet, and whose it was.
_MISDIRECTED, _FROM = "misdirected", "misdirected_from"


class Fleet:
    """All queues of one namespace.

    Every method raises QueueUnavailable if Redis does not answer.

    Args:
        client: A Redis client made by `connections`.
        namespace: First part of every key.
    """

    def __init__(self, client: Any, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.keys: FleetKeys = fleet_keys(namespace)

    def shard(self, queue: str, number: int) -> Shard:
        """One shard of a queue, whether or not the queue is registered."""
        return Shard(self.client, self.namespace, queue, number)

    @property
    def in_cluster(self) -> bool:
        """Whether the queues are on a Redis Cluster, where a single node may be away."""
        return is_cluster_client(self.client)

    def ping(self) -> None:
        """Make sure that Redis answers."""
        with unavailable("ping"):
            self.client.ping()

    def now_ms(self) -> int:
        """Redis' time, Unix ms."""
        with unavailable("time"):
            seconds, microseconds = self.client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    # -- registrations

    def register(self, registration: Registration, lives: Sequence[str] = ()) -> Registered:
        """Make a queue known to every worker, and its limits to the scripts.

        Args:
            registration: The queue, with the number of shards that the caller pushes to.
            lives: The lives of the last answer that the caller got, if any.

        Returns:
            The name of each of these shards' lives, a new one if Redis had forgotten the shard; and
            the number of shards that the queue ever had.
        """
        queue = registration.destination.queue
        shards = [self.shard(queue, number) for number in range(registration.shards)]
        known = lives or [""] * len(shards)
        renewed = [
            shard.set_limits(registration.limits, known_life=life)
            for shard, life in zip(shards, known, strict=True)
        ]
        with unavailable(f"registration of {queue}"):
            most = registry.record(self.client, self.namespace, self.keys, registration)
            pipe = self.client.pipeline(transaction=False)
            for shard in shards:
                self._add_watch(pipe, shard)
            pipe.execute()
        # Shards of a higher number that other producers have, or had, drain one batch at a time.
        further = msgspec.structs.replace(registration.limits, parallel=1)
        for number in range(len(shards), most):
            self.shard(queue, number).set_limits(further)
        return Registered(renewed, most)

    def registration(self, queue: str) -> Registration:
        """The registration of a queue, with the number of shards that it ever had.

        Raises:
            QueueUnknown: No registration of that name, or none that can be read.
        """
        with unavailable(f"look-up of {queue}"):
            pipe = self.client.pipeline(transaction=False)
            pipe.hget(self.keys.queues, queue)
            pipe.hget(self.keys.shards, queue)
            found, shards = pipe.execute()
        if found is None:
            raise QueueUnknown(
                f"no queue {queue!r} is registered in namespace {self.namespace!r}; "
                "a producer registers it with its first enqueue"
            )
        try:
            return registry.decode(found, shards)
        except UNREADABLE as exc:
            raise QueueUnknown(
                f"the registration of queue {queue!r} cannot be read by this release: {exc}"
            ) from exc

    def registrations(self) -> Registrations:
        """Every registered queue, sorted by name; see `registration`."""
        with unavailable("list of queues"):
            pipe = self.client.pipeline(transaction=False)
            pipe.hgetall(self.keys.queues)
            pipe.hgetall(self.keys.shards)
            found, shards = pipe.execute()
        return registry.decode_all(found, shards)

    def some_registrations(self, most: int) -> dict[str, Registration]:
        """About *most* registered queues; repeated calls, by anyone, reach all of them."""
        with unavailable("list of queues"):
            cursor = _number(self.client.hget(self.keys.pulse, _AUDIT_CURSOR))
            cursor, found = self.client.hscan(self.keys.queues, cursor, count=most)
            self.client.hset(self.keys.pulse, _AUDIT_CURSOR, cursor)
            names = list(found)
            shards = self.client.hmget(self.keys.shards, names) if names else []
        return registry.decode_all(found, dict(zip(names, shards, strict=True))).readable

    def all_shards(self, registration: Registration) -> list[Shard]:
        """Every shard that a queue ever had, whatever number this registration has."""
        queue, number = registration.destination.queue, registration.shards
        with suppress(QueueUnknown):
            number = max(number, self.registration(queue).shards)
        return [self.shard(queue, each) for each in range(number)]

    # -- watched shards

    def watch(self, *shard_names: str) -> None:
        """Make the sweep look at shards."""
        with unavailable(f"watch of {', '.join(shard_names[:3])}"):
            pipe = self.client.pipeline(transaction=False)
            for name in shard_names:
                self._add_watch(pipe, self.shard(*split_shard_name(name)))
            pipe.execute()

    def _add_watch(self, pipe: Any, shard: Shard) -> None:
        # The note first: an `unwatch` in between then takes back both or neither.
        shard.add_watched(pipe)
        pipe.sadd(self.keys.watched, shard.keys.name)

    def unwatch(self, *shards: Shard) -> None:
        """Make the sweep forget shards that hold nothing.

        They are forgotten first and checked afterwards: the check sees events that came meanwhile.
        """
        if not shards:
            return
        with unavailable(f"unwatch of {shards[0].keys.name}"):
            self.client.srem(self.keys.watched, *(shard.keys.name for shard in shards))
            calls = [Call(shard.unwatch_keys, ()) for shard in shards]
            answers = list(run_all(self.client, script("unwatch"), calls))
        kept = [shard for shard, gone in zip(shards, answers, strict=True) if gone != 1]
        if kept:
            self.watch(*(shard.keys.name for shard in kept))

    def watched_names(self) -> list[str]:
        """Short names of the shards that hold, or lately held, events; others' names are skipped."""
        with unavailable("list of watched shards"):
            names = self.client.smembers(self.keys.watched)
        return [name for name in sorted(map(as_text, names)) if name.rpartition(":")[2].isdecimal()]

    def watched(self) -> list[Shard]:
        """The shards that hold, or lately held, events."""
        return [self.shard(*split_shard_name(name)) for name in self.watched_names()]

    # -- wake-ups

    def leave_wakeups(self, queue: str, shard: int, tokens: Iterable[str]) -> None:
        """Leave wake-ups for the first worker that listens."""
        texts = [msgspec.json.encode(Wakeup(queue, shard, token)) for token in tokens]
        if not texts:
            return
        with unavailable(f"wake-up for {queue}"):
            pipe = self.client.pipeline(transaction=False)
            pipe.lpush(self.keys.wakeups, *texts)
            pipe.ltrim(self.keys.wakeups, 0, MOST_WAKEUPS - 1)
            pipe.execute()

    def waiting_wakeups(self) -> int:
        """Number of wake-ups that no worker has picked up yet."""
        with unavailable("count of wake-ups"):
            return int(self.client.llen(self.keys.wakeups))

    def next_wakeup(self, timeout_seconds: float) -> Wakeup | None:
        """Wait for a wake-up; None if none came in time, or if it cannot be read."""
        with unavailable("wait for a wake-up"):
            found = self.client.brpop([self.keys.wakeups], timeout=timeout_seconds)
        if found is None:
            return None
        try:
            return msgspec.json.decode(found[1], type=Wakeup)
        except UNREADABLE:
            return None

    # -- signs of life

    def note_sweep(self, by: str, *, at_ms: int | None = None) -> int:
        """Note that "beat" or a "listener" runs a sweep now, or relies on one at that Unix ms.

        Returns:
            The Unix ms noted.
        """
        if at_ms is None:
            return self._note(by)
        with unavailable("sign of life"):
            self.client.hset(self.keys.pulse, by, at_ms)
        return at_ms

    def note_published(self, route: str) -> int:
        """Note that a message is published on *route* now; Redis' time, which is to travel with it."""
        return self._note("", route)

    def note_task(self, route: str = "", published_ms: int = 0) -> None:
        """Note that a worker runs a task now.

        Args:
            route: The route of its message, "" if it told none.
            published_ms: The answer of `note_published` that came with it.
        """
        self._note("task", route if published_ms else "", published_ms)

    def note_rescue(self) -> None:
        """Note that a listener sends a batch now because no task did."""
        self._note("rescue")

    def _note(self, sign: str, route: str = "", published_ms: int = 0) -> int:
        with unavailable("sign of life"):
            arguments = (sign, route, published_ms)
            return int(script("pulse").run(self.client, (self.keys.pulse,), arguments))

    def routes(self) -> list[Route]:
        """The routes of task messages, and how far each has come."""
        with unavailable("look-up of task messages"):
            found = self.client.hgetall(self.keys.pulse)
        return routes_of({as_text(name): _number(ms) for name, ms in found.items()})

    def others_wait(self, route: str) -> bool:
        """Whether a message on *route* waits for a task."""
        with unavailable("look-up of task messages"):
            names = (f"published:{route}", f"started:{route}")
            published, started = self.client.hmget(self.keys.pulse, names)
        return _number(published) > _number(started)

    def note_misdirected(self, namespace: str) -> None:
        """Note that a worker got a task message of another namespace now; "" for an unknown one."""
        note = {_MISDIRECTED: self.now_ms(), _FROM: namespace}
        with unavailable("note of a misdirected message"):
            self.client.hset(self.keys.pulse, mapping=note)

    def last_misdirected(self) -> tuple[int, str]:
        """Unix ms of the last misdirected task message, 0 for none; and its namespace, "" if unknown."""
        with unavailable("look-up of misdirected messages"):
            at_ms, namespace = self.client.hmget(self.keys.pulse, [_MISDIRECTED, _FROM])
        return _number(at_ms), as_text(namespace or b"")

    def last_sweeps_ms(self) -> dict[str, int]:
        """Unix ms of the last sweep of each runner."""
        return {by: ms for by, ms in self.signs_ms().items() if by in SWEEPERS}

    def signs_ms(self) -> dict[str, int]:
        """Unix ms of the last sweep by "beat" and by "listener", the last "task" and "rescue"."""
        with unavailable("look-up of signs of life"):
            found = self.client.hmget(self.keys.pulse, _SIGNS)
        return {sign: _number(ms) for sign, ms in zip(_SIGNS, found, strict=True) if ms is not None}

    def note_listener(self, name: str) -> None:
        """Note that this worker listens now; forget workers that have been silent for long."""
        now = self.now_ms()
        with unavailable("note of a listener"):
            pipe = self.client.pipeline(transaction=False)
            pipe.zadd(self.keys.listeners, {name: now})
            pipe.zremrangebyscore(self.keys.listeners, "-inf", now - as_ms(LISTENER_TTL_SECONDS))
            pipe.execute()

    def forget_listener(self, name: str) -> None:
        """Forget this worker, as it shuts down."""
        with unavailable("forgetting a listener"):
            self.client.zrem(self.keys.listeners, name)

    def listeners(self) -> list[str]:
        """Names of the workers that listen now."""
        since = self.now_ms() - as_ms(LISTENER_TTL_SECONDS)
        with unavailable("list of listeners"):
            names = self.client.zrangebyscore(self.keys.listeners, since, "+inf")
        return [as_text(name) for name in names]

    def count_receiver_errors(self, queue: str, count: int) -> None:
        """Count receivers and callbacks that raised, for the operator."""
        self.shard(queue, 0).count_receiver_errors(count)

    # -- results

    def want_results(self, registration: Registration, *, for_seconds: float) -> None:
        """Ask workers to publish this queue's outcomes for a while."""
        until_ms = self.now_ms() + as_ms(for_seconds)
        for shard in self.all_shards(registration):
            shard.want_results(until_ms)

    def publish_result(self, queue: str, text: bytes) -> None:
        """Publish an outcome to whoever listens now."""
        with unavailable(f"announcement for {queue}"):
            self.client.publish(self.keys.results(queue), text)

    def results(self, queue: str, *, timeout_seconds: float) -> Iterator[bytes | None]:
        """Outcomes as they are published; None whenever *timeout_seconds* pass without one."""
        with unavailable(f"results of {queue}"):
            subscription = self.client.pubsub(ignore_subscribe_messages=True)
            try:
                subscription.subscribe(self.keys.results(queue))
                while True:
                    message = subscription.get_message(timeout=timeout_seconds)
                    yield message["data"] if message else None
            finally:
                subscription.close()


def _number(text: bytes | None) -> int:
    """A number stored in Redis; 0 if it is missing or no number."""
    return int(text) if text is not None and text.isdigit() else 0
