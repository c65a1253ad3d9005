"""Signs of life: who sweeps, who runs tasks, who listens; and the clients that all queues share.

Stages 2 to 6; owns the keys `pulse` and `listeners`. No event is stored here, and whoever notes a
sign goes on if Redis does not take it. If the process dies here, a sign of life may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from vwo_celery.connections import unavailable
from vwo_celery.connections.cluster import is_cluster_client
from vwo_celery.connections.errors import is_error_reply
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.parts import (
    REST_SECONDS,
    Hints,
    Memory,
    Part,
    by_part,
    first_answer,
    part_of,
    parts_away,
)
from vwo_celery.queue.routes import Route, routes_of
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.words.keys import FleetKeys, as_text, due_keys, fleet_keys
from vwo_celery.queue.words.numbers import moment_ms, number

Answer = TypeVar("Answer")
#: Time after which a worker that has not listened counts as gone.
LISTENER_TTL_SECONDS = 15.0
#: Time without a note of any worker after which listening begins anew; each notes every five seconds.
_GAP_SECONDS = 7.5
#: Runners of the sweep: the task that beat sends, and a listener while beat is silent.
SWEEPERS = ("beat", "listener")
#: Signs of life: a sweep by each runner, a task of another kind, a batch sent by a listener; and the
#: begin of the time since which there is always a worker that listens.
_SIGNS = (*SWEEPERS, "task", "rescue", "listening")
#: Fields of the pulse: Unix ms of the last task message that came to the wrong fleet, and whose it was.
_MISDIRECTED, _FROM = "misdirected", "misdirected_from"
#: Field of the pulse: Unix ms at which a worker last noted that it listens.
_LISTENED = "listened"


class Signs:
    """The signs of life of one namespace; beneath `Fleet`.

    Args:
        client: A Redis client made by `connections`.
        namespace: First part of every key.
        hint_client: One that retries nothing, for what may be missed; None for *client*.

    Attributes:
        hints: Attempts at what may be missed.
        memory: What was heard of the keys that all queues share.
    """

    def __init__(self, client: Any, namespace: str, hint_client: Any = None) -> None:
        self.client = client
        self.namespace = namespace
        self.keys: FleetKeys = fleet_keys(namespace)
        self.hints = Hints(REST_SECONDS if is_cluster_client(client) else 0.0)
        self.memory = Memory()
        self._brief: Any = None
        if hint_client is not None:
            self._brief = type(self)(hint_client, namespace)
            self._brief.hints, self._brief.memory = self.hints, self.memory

    @property
    def brief(self) -> Any:
        """The same queues through *hint_client*."""
        return self if self._brief is None else self._brief

    def shard(self, queue: str, number: int) -> Shard:
        """One shard of a queue, whether or not the queue is registered."""
        return Shard(self.client, self.namespace, queue, number)

    @property
    def in_cluster(self) -> bool:
        """Whether the queues are on a Redis Cluster, where a single node may be away."""
        return is_cluster_client(self.client)

    def on_part_of(self, shard: Shard, act: Callable[[], Answer], otherwise: Answer) -> Answer:
        """Return what *act* does to a shard; *otherwise* while its part of a Cluster is away.

        Raises:
            QueueUnavailable: Redis refused it, or there is one server and it did not answer.
        """
        place = part_of(self.client, shard.keys.meta)
        if not place:
            return act()
        if self.hints.is_resting(place):
            return otherwise
        try:
            return act()
        except QueueUnavailable as exc:
            if is_error_reply(exc.__cause__):
                raise
            self.hints.rest(place)
            self.hints.warn(place, f"what lies on {place}", exc)
            return otherwise

    def leave_parts_away(self) -> list[Part]:
        """The parts of a Cluster that are away; for a look at the others, they are left alone.

        Raises:
            QueueUnavailable: No part answers.
        """
        parts = parts_away(self.client)
        away = {part.name for part in parts}
        for part in parts:
            self.hints.rest(part.name, for_good=True)
        shared = (
            getattr(self.keys, name) for name in self.keys.__struct_fields__ if name != "prefix"
        )
        for key in shared:
            if away and part_of(self.client, key) in away:
                self.hints.rest(key, for_good=True)
        return parts

    def on_living_parts(self, names: Sequence[str]) -> list[str]:
        """Those of these shards whose part of a Cluster did not fail a moment ago."""
        if not self.in_cluster:
            return list(names)
        resting = self.hints.is_resting
        return [
            n for n in names if not resting(part_of(self.client, due_keys(self.namespace, n)[1]))
        ]

    def on_each_part(
        self, shards: Sequence[Shard], look: Callable[[Sequence[Shard]], list[Answer]]
    ) -> list[Answer]:
        """What *look* tells of the shards on each part, without a part that is away."""
        found: list[Answer] = []
        for part in by_part(self.client, shards, lambda shard: shard.keys.meta):
            found += self.on_part_of(part[0], partial(look, part), [])
        return found

    @property
    def reader(self) -> Any:
        """The same queues; in a Cluster through a client that does not wait for a part that is away."""
        return self.brief if self.in_cluster else self

    def ping(self) -> None:
        """Make sure that Redis answers."""
        with unavailable("ping"):
            self.client.ping()

    def now_ms(self) -> int:
        """Redis' time, Unix ms."""
        with unavailable("time"):
            seconds, microseconds = first_answer(self.client, lambda server: server.time())
        return int(seconds) * 1000 + int(microseconds) // 1000

    def note_sweep(self, by: str, *, at_ms: int | None = None) -> int:
        """Note that "beat" or a "listener" runs a sweep now, or relies on one at that Unix ms.

        Returns:
            The Unix ms noted; 0 if it could not be noted.
        """
        if at_ms is None:
            return self._note(by)
        note = partial(self._write, {by: at_ms})
        self.hints.attempt(self.keys.pulse, "a sign of life", note, None)
        return at_ms

    def note_published(self, route: str) -> int:
        """Note that a message is published on *route* now.

        Returns:
            Redis' time, which is to travel with it; 0 while the part of a Cluster with it is away.

        Raises:
            QueueUnavailable: There is one server, and it did not answer.
        """
        return self._note("", route) if self.in_cluster else self._run_pulse(self, "", route, 0)

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
        note = partial(self._run_pulse, self.brief, sign, route, published_ms)
        return self.hints.attempt(self.keys.pulse, "a sign of life", note, 0)

    @staticmethod
    def _run_pulse(fleet: Any, *arguments: Any) -> int:
        with unavailable("sign of life"):
            return int(script("pulse").run(fleet.client, (fleet.keys.pulse,), arguments))

    def _write(self, notes: dict[str, Any]) -> None:
        with unavailable("sign of life"):
            fields = [part for note in notes.items() for part in note]
            script("note").run(self.brief.client, (self.keys.pulse,), fields)

    def routes(self) -> list[Route]:
        """The routes of task messages, and how far each has come; none if that cannot be read."""

        def look() -> list[Route]:
            with unavailable("look-up of task messages"):
                found = self.reader.client.hgetall(self.keys.pulse)
            return routes_of({as_text(name): number(ms) for name, ms in found.items()})

        return (
            look()
            if not self.in_cluster
            else self.hints.attempt(self.keys.pulse, "the look-up of task messages", look, [])
        )

    def others_wait(self, route: str) -> bool:
        """Whether a message on *route* waits for a task; False if that cannot be read."""

        def look() -> bool:
            with unavailable("look-up of task messages"):
                names = (f"published:{route}", f"started:{route}")
                published, started = self.brief.client.hmget(self.keys.pulse, names)
            return number(published) > number(started)

        return self.hints.attempt(self.keys.pulse, "the look-up of task messages", look, False)

    def note_misdirected(self, namespace: str) -> None:
        """Note that a worker got a task message of another namespace now; "" for an unknown one."""
        fleet = self.brief

        def note() -> None:
            self._write({_MISDIRECTED: fleet.now_ms(), _FROM: namespace})

        self.hints.attempt(self.keys.pulse, "the note of a misdirected message", note, None)

    def last_misdirected(self) -> tuple[int, str]:
        """Unix ms of the last misdirected task message, 0 for none; and its namespace, "" if unknown."""
        with unavailable("look-up of misdirected messages"):
            at_ms, namespace = self.client.hmget(self.keys.pulse, [_MISDIRECTED, _FROM])
        return number(at_ms), as_text(namespace or b"")

    def last_sweeps_ms(self) -> dict[str, int]:
        """Unix ms of the last sweep of each runner."""
        return {by: ms for by, ms in self.signs_ms().items() if by in SWEEPERS}

    def signs_ms(self) -> dict[str, int]:
        """Unix ms of the last sweep by "beat" and by "listener", the last "task" and "rescue", and of
        the time since which a worker has been "listening".
        """
        with unavailable("look-up of signs of life"):
            found = self.client.hmget(self.keys.pulse, _SIGNS)
        return {sign: number(ms) for sign, ms in zip(_SIGNS, found, strict=True) if ms is not None}

    def signs_if_known(self) -> dict[str, int] | None:
        """The same; None while the part of a Cluster with the signs is away."""
        if not self.in_cluster:
            return self.signs_ms()
        return self.hints.attempt(self.keys.pulse, "signs of life", self.signs_ms, None)

    def note_listener(self, name: str) -> int:
        """Note that this worker listens now; forget workers that have been silent for long: how many."""
        return self.hints.attempt(
            self.keys.listeners,
            "the note of a listener",
            lambda: self.brief._note_listener(name),
            0,
        )

    def _note_listener(self, name: str) -> int:
        now = self.now_ms()
        with unavailable("note of a listener"):
            gone_since = now - as_ms(LISTENER_TTL_SECONDS)
            latest, gone = script("listen").run(
                self.client, (self.keys.listeners,), (name, now, gone_since)
            )
        notes = {_LISTENED: now}
        if now - latest > as_ms(_GAP_SECONDS):
            notes["listening"] = now
        self.hints.attempt(self.keys.pulse, "a sign of life", lambda: self._write(notes), None)
        return int(gone)

    def forget_listener(self, name: str) -> None:
        """Forget this worker, as it shuts down."""
        with unavailable("forgetting a listener"):
            self.brief.client.zrem(self.keys.listeners, name)

    def last_listened_ms(self) -> int:
        """Unix ms at which any worker was last known to listen; 0 for never, or if it is not known."""
        now = self.now_ms()
        with unavailable("look-up of listeners"):
            noted = self.client.hget(self.keys.pulse, _LISTENED)
            latest = self.client.zrange(
                self.keys.listeners, _soon(now), 0, byscore=True, desc=True, offset=0, num=1,
                withscores=True,
            )  # fmt: skip
        return max([number(noted), *(moment_ms(at) for _, at in latest)])

    def listeners(self) -> list[str]:
        """Names of the workers that listen now."""
        return list(self.heard_ms())

    def heard_ms(self) -> dict[str, int]:
        """Unix ms at which each worker that listens was last heard."""
        now = self.now_ms()
        since = now - as_ms(LISTENER_TTL_SECONDS)
        with unavailable("list of listeners"):
            found = self.client.zrangebyscore(
                self.keys.listeners, since, _soon(now), withscores=True
            )
        return {as_text(name): int(at) for name, at in found}


def _soon(now_ms: int) -> int:
    """The time after which no worker can have listened; as in listen.lua."""
    return now_ms + as_ms(LISTENER_TTL_SECONDS)
