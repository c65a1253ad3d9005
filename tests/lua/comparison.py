"""Compare a shard in Redis with its model; any difference fails."""

from __future__ import annotations

from typing import Any

from lua.clock import Clock
from lua.reference.model import Model
from lua.reference.state import ModelBatch
from lua.world import RELEASED_UNIT, counted, numbers
from vwo_celery.queue.handling.moving import read_record
from vwo_celery.queue.shard import Shard
from vwo_celery.tracing.carried import MOST_CONTEXTS, read_contexts

#: Batches that a probe for the newest compares.
_COMPARED = 16
_COUNTERS = ("accepted", "events", "bytes", "delivered", "dead", "refused")


class Comparison:
    """One shard in Redis and its model, by one clock."""

    def __init__(self, shard: Shard, model: Model, clock: Clock) -> None:
        self.shard = shard
        self.model = model
        self.clock = clock
        self.frozen: dict[str, tuple[bytes, ...]] = {}

    def watched(self) -> int:
        """The time at which the shard was last noted as busy; 0 for never."""
        noted = self.shard.client.hget(self.shard.keys.meta, "watched")
        return int(noted or 0)

    def claim_order(self, *, newest: bool = False) -> list[ModelBatch]:
        """The due batches in Redis' order: expired leases first, then ready batches, oldest first.

        Or the newest first, of the last 16, that was tried least.
        """
        pipe = self.shard.client.pipeline(transaction=False)
        for key in (self.shard.keys.leases, self.shard.keys.ready):
            pipe.zrangebyscore(key, "-inf", self.clock.ms)
        expired, ready = pipe.execute()
        due = [self.model.batches[name.decode()] for name in [*expired, *ready]]
        last = due[len(expired) :][: -_COMPARED - 1 : -1]
        if newest and last:
            due.insert(len(expired), min(last, key=lambda batch: batch.attempt))
        return due

    def dump(self) -> dict[str, Any]:
        """Every key of the database; lists with the oldest event first."""
        names = [name.decode() for name in self.clock.names()]
        pipe = self.shard.client.pipeline(transaction=False)
        k = self.shard.keys
        for name in names:
            if name in (k.meta, k.info, k.leaving, k.tally, k.traced):
                pipe.hgetall(name)
            elif name in (k.ready, k.leases, k.slots, k.dead, k.arrived, *k.indexes):
                pipe.zrange(name, 0, -1, withscores=True)
            elif self._is_list(name):
                pipe.lrange(name, 0, -1)
            else:
                pipe.get(name)
        contents = zip(names, pipe.execute(), strict=True)
        return {name: what[::-1] if self._is_list(name) else what for name, what in contents}

    def check(self) -> None:
        """Fail unless every key of the database equals the model's."""
        redis, model, k = self.dump(), self.model, self.shard.keys
        assert redis.pop(k.open, []) == model.open
        for batch in model.batches.values():
            assert redis.pop(k.batch(batch.id)) == list(batch.events)
        self._check_leaving(redis)
        self._check_times(redis.pop(k.arrived, []), model.arrived)
        for state in ("ready", "leases", "dead"):
            times = {batch.id: batch.at for batch in model.of(state)}
            self._check_times(redis.pop(getattr(k, state), []), times)
        self._check_times(redis.pop(k.slots, []), model.slots)
        self._check_lines(redis.pop(k.info, {}))
        alive = {batch.id: batch.first for batch in model.batches.values() if batch.state != "dead"}
        self._check_times(redis.pop(k.births, []), alive)
        scores = {
            batch.id: batch.attempt * RELEASED_UNIT + len(batch.events)
            for batch in model.released()
        }
        self._check_times(redis.pop(k.released, []), scores)
        for mark, sequence in model.marks.items():
            assert redis.pop(k.mark(mark)) == b"%d" % sequence
        tally = {name.decode(): int(count) for name, count in redis.pop(k.tally, {}).items()}
        assert tally == _without_zeros(model.tally)
        self._check_meta(redis.pop(k.meta))
        self._check_contexts(redis.pop(k.traces, []), redis.pop(k.traced, {}))
        assert redis == {}

    def _check_contexts(self, of_list: list[bytes], of_batches: dict[bytes, bytes]) -> None:
        """What is kept is bounded, and whole; `test_contexts.py` tells which batch gets which."""
        assert len(of_list) <= MOST_CONTEXTS
        for kept in of_batches.values():
            contexts, seen = read_contexts(kept)
            assert 0 < len(contexts) <= min(seen, MOST_CONTEXTS)
            assert all(each[:5].isdecimal() for each in contexts)

    def _check_leaving(self, redis: dict[str, Any]) -> None:
        k, leaving = self.shard.keys, self.model.leaving
        records = {name.decode(): text.decode() for name, text in redis.pop(k.leaving, {}).items()}
        assert records.keys() == leaving.keys()
        for name, (batch, heading) in leaving.items():
            record = read_record(name, records[name])
            assert redis.pop(k.batch(name)) == list(batch.events)
            assert (str(record.heading), record.at_ms) == (heading, batch.at)
            assert (record.state == "dead") == (batch.state == "dead")
            assert record.numbers[:3] == (batch.attempt, batch.lost, len(batch.events))

    def _is_list(self, name: str) -> bool:
        k = self.shard.keys
        return name in (k.open, k.traces) or name.startswith(k.batch(""))

    def _check_times(self, found: list[tuple[bytes, float]], expected: dict[str, int]) -> None:
        assert {member.decode(): at for member, at in found} == expected

    def _check_lines(self, found: dict[bytes, bytes]) -> None:
        assert {name.decode() for name in found} == self.model.batches.keys()
        for name, line in found.items():
            batch = self.model.batches[name.decode()]
            attempt, lost, events, size, first, sealed, error = line.decode().split(":", 6)
            numbers = (int(attempt), int(lost), int(events), int(size))
            assert numbers == (batch.attempt, batch.lost, len(batch.events), batch.size)
            assert error == batch.error
            assert (int(first), int(sealed)) == (batch.first, batch.sealed)
            self._check_frozen(batch)

    def _check_frozen(self, batch: ModelBatch) -> None:
        """A batch is within its limits when it is sealed, and never changes afterwards."""
        if batch.id not in self.frozen:
            assert 1 <= len(batch.events) <= self.model.limits.most_events
            assert len(batch.events) == 1 or batch.size <= self.model.limits.batch_bytes
            self.frozen[batch.id] = batch.events
        assert self.frozen[batch.id] == batch.events

    def _check_meta(self, found: dict[bytes, bytes]) -> None:
        model = self.model
        released = sum(len(batch.events) for batch in model.released())
        assert int(found.get(b"released_events", 0)) == released
        left = sum(len(batch.events) for batch, _ in model.leaving.values())
        assert int(found.get(b"leaving", 0)) == left
        meta = counted(numbers({name.decode(): text.decode() for name, text in found.items()}))
        counters = {
            name: count
            for name, count in meta.items()
            if name in _COUNTERS or name.startswith("dropped:")
        }
        assert _without_zeros(counters) == _without_zeros(model.counters)
        assert int(meta.get("open_events", 0)) == model.counted
        assert int(meta.get("open_bytes", 0)) == model.counted_bytes
        assert ("mixed" in meta, "paused" in meta) == (model.mixed, model.paused)
        assert ("held_until" in meta) == (model.held_until is not None)
        if model.held_until is not None:
            assert meta["held_until"] == model.held_until
        assert found[b"life"].decode() == model.life
        assert int(found.get(b"batch_events", 0)) == model.limits.batch_events
        assert int(found.get(b"followed_ms", 0)) == model.followed
        assert ("forgotten_ms" in meta) == model.forgotten
        if model.counted and model.first is not None:
            assert meta["first_ms"] == model.first


def _without_zeros(counters: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counters.items() if count}
