"""Snapshots: the contents of one shard at one moment, read in one transaction, for the ledger.

Beside `shard`. Changes nothing: nothing to lose. Numbers of events come from the structures
that hold the events, not from counters, wherever there is such a structure; only therefore does a
balanced ledger prove anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec.structs import asdict
from redis.exceptions import OutOfMemoryError, ResponseError

from vwo_celery.connections import unavailable
from vwo_celery.connections.cluster import ClusterClient
from vwo_celery.connections.errors import without_command
from vwo_celery.queue.handling.moving import Leaving, read_record
from vwo_celery.queue.looks.counters import Counters, read_counters
from vwo_celery.queue.looks.lines import read_line
from vwo_celery.queue.parts import first_answer
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import as_text

#: Error shown of a batch whose line cannot be read.
UNREAD = "its line in info cannot be read by this release"
#: Latest time that is shown, Unix ms: in the year 9892, since Python's dates end with 9999.
_LATEST_MS = 2.5e14
_WRONG_TYPE = "WRONGTYPE"
#: Reason under which events that Redis lost are counted as dropped.
REDIS_LOST = "redis_lost"
#: The order of batches: the oldest first.
_AGE = attrgetter("sealed_ms", "id")
#: Most batches of a shard that is read at one moment.
MOST_AT_ONCE: Final = 10_000
#: Shards that one round trip looks at.
_SHARDS_A_ROUND_TRIP = 500

State = Literal["ready", "released", "in_flight", "dead"]


class BatchView(msgspec.Struct, frozen=True):
    """One sealed batch.

    Attributes:
        id: Its name.
        state: Its state.
        attempt: Number of claims so far.
        lost_leases: Number of leases that ran out.
        events: Number of events.
        bytes: Their size.
        first_ms: Unix ms of its oldest event.
        sealed_ms: Unix ms from which its age counts.
        at_ms: Unix ms at which it is or was due, its lease ends, it departed, or was dead-lettered.
        error: Why it was last released or dead-lettered, "" if it never was.
    """

    id: str
    state: State
    attempt: int
    lost_leases: int
    events: int
    bytes: int
    first_ms: int
    sealed_ms: int
    at_ms: int
    error: str


class Snapshot(Counters, frozen=True):
    """One shard at one moment, with its batches.

    Attributes:
        shard: Short name, "queue:number".
        now_ms: Redis' time.
        batches: All sealed batches, oldest first.
        slots: Wake-up slots taken.
        unreadable: What this release cannot read of it: lines of batches, fields, or a whole key.
        unusable: Whether a whole key cannot be read; all numbers are 0 then.
    """

    shard: str
    now_ms: int
    batches: tuple[BatchView, ...] = ()
    slots: int = 0
    unreadable: tuple[str, ...] = ()
    unusable: bool = False

    def batches_in(self, state: State) -> list[BatchView]:
        """The batches in *state*, oldest first."""
        return [batch for batch in self.batches if batch.state == state]

    def events(self, state: State) -> int:
        """Events of the batches in *state*."""
        return sum(batch.events for batch in self.batches_in(state))

    @property
    def pending(self) -> int:
        """Events that are open or ready."""
        return self.open_events + self.events("ready")

    @property
    def oldest_ms(self) -> int | None:
        """Unix ms of the oldest event that is open or ready."""
        ages = [batch.first_ms for batch in self.batches if batch.state == "ready"]
        if self.open_events:
            ages.append(self.open_first_ms or self.now_ms)
        return min(ages, default=None)

    @property
    def balanced(self) -> bool:
        """Whether every accepted event is accounted for."""
        return not (self.imbalance or self.unusable)

    @property
    def imbalance(self) -> int:
        """Accepted events that are stored nowhere, below 0 for stored ones that were never accepted.

        Where all are there and only the count of undelivered ones is wrong, by how much it is.
        """
        undelivered = self.accepted - self.delivered - sum(self.dropped.values())
        stored = self.open_events + sum(batch.events for batch in self.batches)
        miscounted = undelivered - self.events("dead") - self.counted_events
        return undelivered - stored or miscounted


class _Raw(NamedTuple):
    time: Any
    meta: dict[bytes, bytes]
    open_events: int
    ready: list[tuple[bytes, float]]
    leases: list[tuple[bytes, float]]
    dead: list[tuple[bytes, float]]
    info: dict[bytes, bytes]
    slots: int
    leaving: Mapping[bytes, bytes] = MappingProxyType({})
    lengths: Mapping[str, int] = MappingProxyType({})  # of batches whose line cannot be read


def take_snapshot(shard: Shard) -> Snapshot:
    """Read the whole shard at one moment.

    What cannot be read is named in the snapshot: it hides neither the rest of the shard nor others.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable(f"snapshot of {shard.keys.name}"):
        try:
            raw = _read(shard)
        except ResponseError as exc:
            if _WRONG_TYPE not in str(exc):
                raise
            return _unusable(shard, without_command(exc))
        strange = [name for name in _placed(raw) if read_line(raw.info.get(name)) is None]
        raw = raw._replace(lengths=_lengths(shard, [as_text(name) for name in strange]))
    return _snapshot(shard.keys.name, raw)


def _read(shard: Shard) -> _Raw:
    if isinstance(shard.client, ClusterClient):  # redis-py leaves its transactions unread
        return _read_by_script(shard)
    try:
        return _read_by_transaction(shard)
    except OutOfMemoryError:
        # Out of memory, Redis refuses even a transaction of reads; and operators look just then.
        return _read_by_script(shard)


def _unusable(shard: Shard, why: str) -> Snapshot:
    empty = _snapshot(shard.keys.name, _Raw(shard.client.time(), {}, 0, [], [], [], {}, 0))
    return msgspec.structs.replace(empty, unreadable=(f"a key: {why}",), unusable=True)


def _placed(raw: _Raw) -> list[bytes]:
    return [name for names in (raw.ready, raw.leases, raw.dead) for name, _ in names]


def _lengths(shard: Shard, batch_ids: Sequence[str]) -> dict[str, int]:
    """Number of events of each batch, by its list."""
    if not batch_ids:
        return {}
    pipe = shard.client.pipeline(transaction=False)
    for name in batch_ids:
        pipe.llen(shard.keys.batch(name))
    found = zip(batch_ids, pipe.execute(raise_on_error=False), strict=True)
    return {name: length for name, length in found if isinstance(length, int)}


def _read_by_transaction(shard: Shard) -> _Raw:
    k = shard.keys
    now = shard.client.time()
    pipe = shard.client.pipeline(transaction=True)
    pipe.hgetall(k.meta)
    pipe.llen(k.open)
    for key in (k.ready, k.leases, k.dead):
        pipe.zrange(key, 0, -1, withscores=True)
    pipe.hgetall(k.info)
    pipe.zcard(k.slots)
    pipe.hgetall(k.leaving)
    return _Raw(now, *pipe.execute())


def _read_by_script(shard: Shard) -> _Raw:
    """Read the same at a few times the cost, since everything passes through Lua."""
    k = shard.keys
    keys = (k.open, k.meta, k.ready, k.leases, k.dead, k.info, k.slots, k.leaving)
    now, meta, length, ready, leases, dead, info, slots, leaving = script("snapshot").run(
        shard.client, keys
    )
    return _Raw(
        now, dict(_pairs(meta)), length, _times(ready), _times(leases), _times(dead),
        dict(_pairs(info)), slots, dict(_pairs(leaving)),
    )  # fmt: skip


def _times(flat: Sequence[bytes]) -> list[tuple[bytes, float]]:
    return [(name, float(at)) for name, at in _pairs(flat)]


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def take_snapshots(shards: Sequence[Shard]) -> list[Snapshot]:
    """Read all *shards*, each at one moment; one that holds nothing costs next to nothing.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    snapshots: list[Snapshot] = []
    for start in range(0, len(shards), _SHARDS_A_ROUND_TRIP):
        page = shards[start : start + _SHARDS_A_ROUND_TRIP]
        for shard, snapshot in zip(page, _empty_snapshots(page), strict=True):
            snapshots.append(snapshot if snapshot is not None else take_snapshot(shard))
    return snapshots


def _empty_snapshots(shards: Sequence[Shard]) -> list[Snapshot | None]:
    """Snapshots of shards that hold nothing, by their counters as well; None for the others."""
    with unavailable("look at all shards"):
        now = first_answer(shards[0].client, lambda server: server.time())
        pipe = shards[0].client.pipeline(transaction=False)
        for shard in shards:
            k = shard.keys
            pipe.exists(k.open, k.ready, k.leases, k.dead, k.info, k.leaving)
            pipe.hgetall(k.meta)
        answers = pipe.execute(raise_on_error=False)
    empty: list[Snapshot | None] = []
    for shard, held, meta in zip(shards, answers[::2], answers[1::2], strict=True):
        if isinstance(held, Exception) or isinstance(meta, Exception):
            empty.append(None)  # `take_snapshot` says what it is
            continue
        snapshot = _snapshot(shard.keys.name, _Raw(now, meta, 0, [], [], [], {}, 0))
        empty.append(None if held or not snapshot.balanced else snapshot)
    return empty


def _snapshot(name: str, raw: _Raw) -> Snapshot:
    now_ms = int(raw.time[0]) * 1000 + int(raw.time[1]) // 1000
    lines = [f"the line of batch {name}" for name in raw.lengths]
    leaving = [_leaving_view(read_record(as_text(n), as_text(r))) for n, r in raw.leaving.items()]
    left = sum(batch.events for batch in leaving)  # not in the counters; see depart.lua
    counters = read_counters(raw.meta, raw.open_events, left)
    return Snapshot(
        **asdict(counters),
        shard=name,
        now_ms=now_ms,
        batches=tuple(sorted([*_batches(raw, now_ms), *leaving], key=_AGE)),
        slots=raw.slots,
        unreadable=(*lines, *(f"the field {field}" for field in counters.strange)),
    )


def _batches(raw: _Raw, now_ms: int) -> list[BatchView]:
    views = [_view(raw, batch_id, at, "dead") for batch_id, at in raw.dead]
    # A batch whose lease has expired may be claimed by anyone: for the operator it is pending.
    views += [
        _view(raw, batch_id, at, "in_flight" if at > now_ms else "ready")
        for batch_id, at in raw.leases
    ]
    return views + [
        _view(raw, batch_id, at, _state_in_ready(raw, batch_id)) for batch_id, at in raw.ready
    ]


def _leaving_view(record: Leaving) -> BatchView:
    """A batch that a move takes away: in flight, in the hands of the mover."""
    where = f"on its way to {record.heading.queue if record.heading else 'another queue'}"
    return BatchView(record.batch, "in_flight", *record.numbers, record.since_ms, where)


def _state_in_ready(raw: _Raw, batch_id: bytes) -> State:
    """Released after a failed attempt, also once the next one is due; else ready."""
    line = read_line(raw.info.get(batch_id))
    return "released" if line is not None and line.has_failed else "ready"


def _view(raw: _Raw, batch_id: bytes, at: float, state: State) -> BatchView:
    name = as_text(batch_id)
    return view_of(name, state, at, raw.info.get(batch_id), raw.lengths.get(name, 0))


def view_of(name: str, state: State, at: float, line: bytes | None, length: int = 0) -> BatchView:
    """A batch as its score and its line tell it.

    Args:
        name: Its id.
        state: Its state.
        at: Its score in the sorted set of that state.
        line: Its line in info, if it has one.
        length: The length of its list, which counts where the line cannot be read.
    """
    at_ms, read = int(min(max(0.0, at), _LATEST_MS)), read_line(line)
    if read is None:
        return BatchView(name, state, 0, 0, length, 0, at_ms, at_ms, at_ms, UNREAD)
    return BatchView(
        name, state, read.attempt, read.lost_leases, read.events, read.bytes, read.first_ms,
        read.sealed_ms, at_ms, read.error,
    )  # fmt: skip
