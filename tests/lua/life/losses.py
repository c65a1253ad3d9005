"""More steps of a shard's life: Redis loses data, and events are dropped to make room.

Redis comes back with an older state, as after a crash between two fsyncs or a failover to a replica
that lagged; or it comes back empty. Producers go on with the marks they have, workers with the
batches they hold.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lua.life.operating import OperatedLife
from lua.life.shard import producers
from lua.reference.model import Model
from vwo_celery.queue.capacity import make_room, trim_dead

#: Share of the droppable events that must go for a push.
shares = st.sampled_from([0, 0.3, 0.8, 1])
#: Fewest batches that make_room names, even for one event.
_FEWEST_NAMED = 10


class Saved(NamedTuple):
    """Everything that Redis held at one moment, its model, and the place of every event."""

    keys: dict[bytes, tuple[int, bytes]]
    model: Model
    pushed: Counter[bytes]
    delivered: Counter[bytes]
    gone: Counter[bytes]
    watched: bool


class LossyLife(OperatedLife):
    """A shard's life with losses and drops."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: Saved | None = None

    # -- Redis

    @rule()
    def save(self) -> None:
        """Redis saves its present state to disk."""
        keys = {name: self._key(name) for name in self.clock.names()}
        self.saved = Saved(
            keys, deepcopy(self.model), self.pushed.copy(), self.delivered.copy(), self.gone.copy(),
            self.watched,
        )  # fmt: skip

    def _key(self, name: bytes) -> tuple[int, bytes]:
        return max(0, self.client.pttl(name)), self.client.dump(name)

    @precondition(lambda self: self.saved)
    @rule()
    def lose_the_tail(self) -> None:
        """Redis comes back with the state it last saved; no client notices.

        Steps in progress have failed; each producer may repeat its newest push.
        """
        saved, self.saved = self.saved, None
        assert saved is not None
        self.clock.empty()
        for name, (ttl_ms, dumped) in saved.keys.items():
            self.client.restore(name, ttl_ms, dumped)
        self._go_on_with(saved.model, watched=saved.watched)
        self.pushed, self.delivered, self.gone = saved.pushed, saved.delivered, saved.gone
        newest = {mark.id: mark.sequence for mark in self.marks}
        self.last_pushes = [
            each for each in self.last_pushes if newest.get(each[0].id) == each[0].sequence
        ]

    @rule(who=producers, knew=st.booleans(), really=st.integers(0, 3))
    def forget(self, who: int, knew: bool, really: int) -> None:
        """Redis comes back empty; a producer that knew it, or a new one, registers first.

        Rare, since little can happen in a life that ends soon.
        """
        if really:
            return
        known = self.marks[who].life if knew else ""
        self.clock.empty()
        life = self.shard.set_limits(self.knows[who], known_life=known)
        assert life != self.model.life
        self._go_on_with(Model(self.knows[who], life, forgotten=knew), watched=False)
        self.marks[who] = self._new_mark()
        self.pushed, self.delivered, self.gone = Counter(), Counter(), Counter()
        self.last_pushes, self.saved = [], None

    def _go_on_with(self, model: Model, *, watched: bool) -> None:
        self.model = self.pair.model = model
        self.watched = watched
        self.redis_lost = model.counters.get("dropped:redis_lost", 0)

    # -- making room

    @rule(part=shares, more=st.integers(-1, 1))
    def make_room_for_events(self, part: float, more: int) -> None:
        """A producer has the oldest events dropped for a push that needs a part of their room."""
        held = sum(len(batch.events) for batch in self.model.of("leases"))
        counted = self.model.counters.get("events", 0)
        over = int(part * (counted - held)) + more
        self._make_room([b""] * max(1, self.model.limits.capacity_events - counted + over))

    @rule(part=shares, more=st.integers(-1, 1))
    def make_room_for_bytes(self, part: float, more: int) -> None:
        """A producer has the oldest events dropped for the bytes of one event."""
        held = sum(batch.size for batch in self.model.of("leases"))
        counted = self.model.counters.get("bytes", 0)
        over = int(part * (counted - held)) + more
        self._make_room([b"x" * max(0, self.model.limits.capacity_bytes - counted + over - 1)])

    def _make_room(self, events: list[bytes]) -> None:
        ready = self._oldest(self.shard.keys.ready)[: max(_FEWEST_NAMED, len(events))]
        gone, fits = self.model.make_room(events, ready, self.clock.tick())

        room = make_room(self.shard, events)

        assert (room.dropped, room.fits) == (len(gone), fits)
        self.gone.update(gone)

    @precondition(lambda self: self.model.of("ready") and not self.model.paused)
    @rule(count=st.integers(1, 3))
    def give_up(self, count: int) -> None:
        """Workers claim batches and dead-letter them at once."""
        for _ in range(count):
            if self.claim(0):
                self.dead_letter(len(self.claims) - 1)

    @precondition(lambda self: self.model.of("dead"))
    @rule(most_events=st.integers(0, 4))
    def trim_dead(self, most_events: int) -> None:
        """A worker drops the oldest dead letters beyond a bound."""
        gone = self.model.trim_dead(most_events, self._oldest(self.shard.keys.dead))

        assert trim_dead([self.shard], most_events) == len(gone)

        self.gone.update(gone)
        assert self.model.counters.get("dead", 0) <= most_events

    def _oldest(self, key: str) -> list[Any]:
        return [name.decode() for name in self.client.zrange(key, 0, -1)]
