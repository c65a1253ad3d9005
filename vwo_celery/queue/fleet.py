"""The data that all queues of a namespace share in Redis: registrations, wake-ups, signs of life.

Stages 1 to 6; owns the keys without a hash tag, which plain commands read and write. No
event is stored here. If the process dies here, a wake-up or a sign of life may be lost; the next
sweep makes up for it. A lost registration is written again by the next enqueue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from functools import partial

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.connections import unavailable
from vwo_celery.errors import QueueUnavailable, QueueUnknown, QueueUnreadable
from vwo_celery.queue import registry
from vwo_celery.queue.parts import find_shards
from vwo_celery.queue.pipelining import Call, run_all
from vwo_celery.queue.registering import Registering
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.words.keys import as_text, split_shard_name
from vwo_celery.queue.words.numbers import number
from vwo_celery.queue.words.registration import (
    UNREADABLE,
    Registration,
    Registrations,
    Wakeup,
)

#: Most wake-ups kept while no worker listens; more would not speed up the first worker.
MOST_WAKEUPS = 1000
_PATROL_CURSOR = "audit_cursor"
#: Pause between two looks for shards on the parts of a Cluster that answer.
_FIND_SECONDS = 10.0


class Fleet(Registering):
    """All queues of one namespace.

    A method raises QueueUnavailable if Redis does not answer; but signs of life, results and the
    wake-ups of `try_leaving_wakeups` are missed then. In a Cluster the keys of all queues may lie on
    a part that is away: `watched` and `registrations` then tell what is known without it.
    """

    # -- registrations

    def registration(self, queue: str, shard: int = 0) -> Registration:
        """The registration of a queue, with the number of shards that it ever had.

        Args:
            queue: Its name.
            shard: A shard whose copy serves if the list of queues is away, or has lost the queue.

        Raises:
            QueueUnknown: No registration of that name.
            QueueUnreadable: None that can be read.
        """
        try:
            found = self._listed(queue) or self._copied(queue, shard)
        except UNREADABLE as exc:
            raise QueueUnreadable(
                f"the registration of queue {queue!r} cannot be read by this release: {exc}"
            ) from exc
        if found is None:
            raise QueueUnknown(
                f"no queue {queue!r} is registered in namespace {self.namespace!r}; "
                "a producer registers it with its first enqueue"
            )
        return found

    def _listed(self, queue: str) -> Registration | None:
        """The registration in the list of queues; None if it is not there, or the list is away."""

        def look() -> Registration | None:
            with unavailable(f"look-up of {queue}"):
                pipe = self.reader.client.pipeline(transaction=False)
                pipe.hget(self.keys.queues, queue)
                pipe.hget(self.keys.shards, queue)
                text, shards = pipe.execute()
            return None if text is None else registry.decode(queue, text, shards)

        if not self.in_cluster:
            return look()
        return self.hints.attempt(self.keys.queues, "the list of queues", look, None)

    def _copied(self, queue: str, shard: int) -> Registration | None:
        """The copy with a shard, which is listed again; None if it has none.

        Raises:
            QueueUnavailable: It has none, and the list of queues is away.
        """
        copy = self.shard(queue, shard).registration_copy()
        if copy is not None:
            found = registry.decode(queue, copy, None)
            self.memory.registrations.setdefault(queue, found)
            return found
        if self.hints.is_resting(self.keys.queues):
            raise QueueUnavailable(f"look-up of {queue}: the part of Redis with the list is away")
        return None

    def registrations(self) -> Registrations:
        """Every registered queue, sorted by name; without the list, those found with their shards."""
        try:
            with unavailable("list of queues"):
                pipe = self.reader.client.pipeline(transaction=False)
                pipe.hgetall(self.keys.queues)
                pipe.hgetall(self.keys.shards)
                found, shards = pipe.execute()
            return registry.decode_all(found, shards)
        except QueueUnavailable:
            if not self.in_cluster:
                raise
        return registry.decode_all(*self._copies())

    def _copies(self) -> tuple[dict[str, bytes], dict[str, bytes | None]]:
        """Copies of registrations found with shards, and the number of shards found of each queue."""
        copies: dict[str, bytes] = {}
        highest: dict[str, int] = {}
        for name in self.find_shards():
            queue, i = split_shard_name(name)
            highest[queue] = max(highest.get(queue, 0), i)
            shard = self.brief.shard(queue, i)
            if queue not in copies:
                copy = self.brief.on_part_of(shard, shard.registration_copy, None)
                copies |= {queue: copy} if copy is not None else {}
        return copies, {queue: b"%d" % (i + 1) for queue, i in highest.items()}

    def some_registrations(self, most: int) -> dict[str, Registration]:
        """About *most* registered queues; repeated calls, by anyone, reach all of them."""
        memory = self.memory
        memory.patrol_cursor = self.hints.attempt(
            self.keys.pulse, "the patrol's place", self._patrol_cursor, memory.patrol_cursor
        )
        with unavailable("list of queues"):
            memory.patrol_cursor, found = self.client.hscan(
                self.keys.queues, memory.patrol_cursor, count=most
            )
            names = list(found)
            shards = self.client.hmget(self.keys.shards, names) if names else []
        self.hints.attempt(self.keys.pulse, "the patrol's place", self._keep_patrol_cursor, None)
        return registry.decode_all(found, dict(zip(names, shards, strict=True))).readable

    def _patrol_cursor(self) -> int:
        with unavailable("look-up of the patrol's place"):
            return number(self.client.hget(self.keys.pulse, _PATROL_CURSOR))

    def _keep_patrol_cursor(self) -> None:
        with unavailable("note of the patrol's place"):
            self.client.hset(self.keys.pulse, _PATROL_CURSOR, self.memory.patrol_cursor)

    def all_shards(self, registration: Registration) -> list[Shard]:
        """Every shard that a queue ever had, whatever number this registration has."""
        queue, most = registration.destination.queue, registration.shards
        with suppress(QueueUnknown):
            most = max(most, self.registration(queue).shards)
        return [self.shard(queue, each) for each in range(most)]

    # -- watched shards

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

    def watched(self) -> list[Shard]:
        """The shards that hold, or lately held, events; see `watched_names`."""
        return [self.shard(*split_shard_name(name)) for name in self.watched_names()]

    def watched_names(self) -> list[str]:
        """Short names of the shards that hold, or lately held, events; others' names are skipped.

        In a Cluster whose part with that set is away: those that were watched before, and those found
        on the other parts.
        """
        names = sorted(self._watched_names())
        return [name for name in names if name.rpartition(":")[2].isdecimal()]

    def _watched_names(self) -> Set[str]:
        if not self.hints.is_resting(self.keys.watched):
            try:
                with unavailable("list of watched shards"):
                    names = set(map(as_text, self.reader.client.smembers(self.keys.watched)))
            except QueueUnavailable:
                if not self.in_cluster:
                    raise
                self.hints.rest(self.keys.watched)
            else:
                self.memory.note_watched(names)
                return names
        self.memory.note_away()
        return self.memory.shards | self.find_shards()

    def find_shards(self) -> Set[str]:
        """Names of all shards on the parts of a Cluster that answer; looked for now and then."""
        memory, now = self.memory, monotonic()
        if now >= memory.look_again_at:
            memory.found = find_shards(self.reader.client, self.namespace)
            memory.look_again_at = now + _FIND_SECONDS
        return memory.found

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

    def try_leaving_wakeups(self, queue: str, shard: int, tokens: Iterable[str]) -> None:
        """Leave wake-ups if that can be done at once; else give their slots back to the next sweep."""
        left = list(tokens)
        if not left:
            return

        def leave() -> bool:
            self.brief.leave_wakeups(queue, shard, left)
            return True

        if self.hints.attempt(self.keys.wakeups, f"a wake-up for {queue}", leave, False):
            return
        owner = self.brief.shard(queue, shard)
        if self.in_cluster:  # else Redis is away as a whole, and the slots run out
            give_back = partial(owner.free_slots, left)
            self.hints.attempt(owner.keys.slots, f"the slots of {queue}", give_back, None)

    def try_watching(self, shard: Shard) -> None:
        """Have the sweep look at a shard; if that cannot be done now, it is noted for `announce`."""
        name = shard.keys.name

        def watch() -> bool:
            self.brief.watch(name)
            return True

        if not self.hints.attempt(
            self.keys.watched, f"the note that {name} is watched", watch, False
        ):
            self.memory.unannounced.add(name)

    def count_receiver_errors(self, queue: str, count: int) -> None:
        """Count receivers and callbacks that raised, for the operator."""
        shard = self.brief.shard(queue, 0)
        self.hints.attempt(
            shard.keys.name,
            "a count of receiver errors",
            lambda: shard.count_receiver_errors(count),
            None,
        )

    # -- results

    def want_results(self, registration: Registration, *, for_seconds: float) -> None:
        """Ask workers to publish this queue's outcomes for a while."""
        until_ms = self.now_ms() + as_ms(for_seconds)
        for shard in self.all_shards(registration):
            shard.want_results(until_ms)

    def publish_result(self, queue: str, text: bytes) -> None:
        """Publish an outcome to whoever listens now."""

        def publish() -> None:
            with unavailable(f"announcement for {queue}"):
                self.brief.client.publish(self.keys.results(queue), text)

        self.hints.attempt(self.keys.results(queue), "an announcement of results", publish, None)

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
