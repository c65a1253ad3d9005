"""A frame for tests of one script: a state before, a call, and every key that it changed.

A test puts one shard of one queue into a state, key by key, calls a method of `Shard`, and compares
all changes of the call in the whole database with the expected ones; everything that a test does
not name must be unchanged. Times are Redis' own: `at` names one that the test stored, `now` one
that the script read from the clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from vwo_celery.connections import twin_of
from vwo_celery.queue.looks.snapshots import Snapshot, take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.answers import Pushed
from vwo_celery.queue.words.batches import Batch, Held, Limits
from vwo_celery.queue.words.marks import Mark

NAMESPACE = "vwo"
QUEUE = "fme-1-test"
#: Name of the life of the shard's state.
LIFE = "life"
LIMITS = Limits(
    events_per_request=3,
    interval_ms=60_000,
    batch_bytes=100,
    capacity_events=50,
    capacity_bytes=5_000,
    parallel=2,
    slot_ttl_ms=3_000,
)
#: The same where `events_per_request` is the least of a batch.
LEAST = replace(LIMITS, batch_events=5)
#: Fields that enqueue.lua sets for append.lua; `dump` shows their effect on the counters instead.
ROOM = ("granted", "room", "granted_accepted")
#: The same of scripts of 0.1.
OLD_ROOM = ("granted_events", "room_events", "granted_bytes", "room_bytes")
#: Room for one event; see lua/shared/room.lua.
ROOM_UNIT = 2**32
COUNTS = ("accepted", "events", "open_events")
SIZES = ("bytes", "open_bytes")
LEASE_MS = 30_000
LEASE_SECONDS = LEASE_MS / 1000
#: Longest time for which anything may be given: a day, as the settings allow, and a minute.
HORIZON_MS = 86_460_000
IDLE_MS = 600_000
#: Factor of the attempts in a score of released; see lua/shared/indexes.lua.
RELEASED_UNIT = 1_000_000

#: Longest wait for an answer of Redis.
_PATIENT_SECONDS = 10.0

Answer = TypeVar("Answer")
Dump = dict[str, Any]


def ours(client: Any) -> Any:
    """A client of `connections`, as a `Shard` needs it, that leads where the test's own does."""
    return twin_of(client, timeout_seconds=_PATIENT_SECONDS)


def has_gates(client: Any) -> bool:
    """Whether this Redis lets a script ask what its user may do, without which no gate opens."""
    return int(str(client.info("server")["redis_version"]).partition(".")[0]) >= 7


class Line(NamedTuple):
    """A batch's line in the info hash."""

    attempt: int = 0
    lost: int = 0
    events: int = 1
    bytes: int = 10
    first: Any = 0
    sealed: Any = 0
    error: str = ""


class Now:
    """A time that a script read from Redis' clock during the last call, plus an offset in ms."""

    def __init__(self, world: World, offset_ms: int) -> None:
        self._world = world
        self._offset_ms = offset_ms

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, int):
            return NotImplemented
        called, answered = self._world.window
        return called <= other - self._offset_ms <= answered

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        called, answered = self._world.window
        return f"now({called + self._offset_ms}..{answered + self._offset_ms})"


def room_of(
    events: int, size: int, *, accepted: int, taken: tuple[int, int] = (0, 0)
) -> dict[str, int]:
    """Fields that grant room for so many events and bytes, some of it *taken* since.

    Args:
        events: Events.
        size: Bytes, a separator for each event included.
        accepted: The counter of that name when the room was granted.
        taken: Events and bytes that append.lua has stored since.
    """
    granted = events * ROOM_UNIT + size
    left = granted - taken[0] * ROOM_UNIT - taken[1]
    return {"granted": granted, "room": left, "granted_accepted": accepted}


class World:
    """One shard in an otherwise empty database."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.shard = Shard(ours(client), NAMESPACE, QUEUE, 0)
        self.shard.load_push()
        self.zero_ms = self._clock_ms()
        self.window = (self.zero_ms, self.zero_ms)
        self._before: Dump = {}

    # -- before

    def at(self, offset_ms: int) -> int:
        """A fixed time, counted from the start of the test."""
        return self.zero_ms + offset_ms

    def given(
        self,
        *,
        limits: Limits = LIMITS,
        meta: Mapping[str, int | str] | None = None,
        open: Sequence[bytes] = (),
        batches: Mapping[str, Sequence[bytes]] | None = None,
        info: Mapping[str, Line] | None = None,
        members: Mapping[str, Mapping[str, int]] | None = None,
        **zsets: Mapping[str, int],
    ) -> None:
        """Put the shard into a state; lists are given oldest event first.

        Args:
            limits: What the shard is registered with.
            meta: Further fields of the meta hash.
            open: The open list.
            batches: Sealed batches by id.
            info: Their lines, by id.
            members: Times of batches or tokens, by ready, leases, slots or dead.
            zsets: The same, as keywords.
        """
        k = self.shard.keys
        # The state of a shard that has been claimed from before.
        self.client.hset(k.meta, mapping={"life": LIFE, "longest_lease_ms": LEASE_MS})
        self.shard.set_limits(limits)
        if meta:
            self.client.hset(k.meta, mapping=dict(meta))
        for key, events in [(k.open, open), *self._batches(batches or {})]:
            if events:
                self.client.lpush(key, *events)
        for batch_id, line in (info or {}).items():
            self.client.hset(k.info, batch_id, ":".join(map(str, line)))
        for family, times in {**zsets, **(members or {})}.items():
            self.client.zadd(getattr(k, family), dict(times))
        enter_indexes(self.shard)

    def batch(self, batch_id: str, *, attempt: int = 1, lease_until_ms: int = 0) -> Batch:
        """A batch as its holder at the given attempt has it."""
        return Batch(
            id=batch_id, attempt=attempt, lost_leases=0, events=1, bytes=10,
            first_ms=0, sealed_ms=0, claimed_ms=0, lease_until_ms=lease_until_ms,
        )  # fmt: skip

    # -- the call

    def call(self, method: Callable[..., Answer], *arguments: Any, **options: Any) -> Answer:
        """Call it; record the database before the call and the clock around it.

        Where births and released say what the lines say, they must do so afterwards as well.
        """
        self._before = self.dump()
        kept = read_indexes(self.shard) == expected_indexes(self.shard)
        called = self._clock_ms()
        answer = method(*arguments, **options)
        self.window = (called, self._clock_ms())
        assert not kept or read_indexes(self.shard) == expected_indexes(self.shard)
        return answer

    def push(
        self, mark: Mark, *events: bytes, names: int | None = None, more_follow: bool = False
    ) -> Pushed:
        """Call the enqueue script, with more than enough names unless a number is given."""
        count = len(events) + 1 if names is None else names
        command = self.shard.push_command(mark, events, count, more_follow=more_follow)
        return self.call(self.shard.push, command)

    def sweep(self, *, force: bool = False, lost_until_ms: int = 10**15) -> Any:
        """Call the sweep script; by default every wake-up that has waited for its time is lost."""
        return self.call(
            self.shard.sweep, force=force, idle_ms=IDLE_MS, lost_until_ms=lost_until_ms
        )

    def ask(self, token: str = "", *, probe: bool = False) -> Batch | Held | None:
        """Call the claim script."""
        return self.call(self.shard.claim, token=token, lease_seconds=LEASE_SECONDS, probe=probe)

    def claim(self, token: str = "", *, probe: bool = False) -> Batch | None:
        """Call the claim script of a shard that is not held, or for a probe."""
        answer = self.ask(token, probe=probe)
        assert not isinstance(answer, Held)
        return answer

    # -- after

    def now(self, offset_ms: int = 0) -> Any:
        """A time equal to the script's own clock plus an offset."""
        return Now(self, offset_ms)

    def changes(self) -> Dump:
        """The changes of the last call, by key and field; None for a removed key or field.

        A list (oldest event first) and a string are given whole, a hash or sorted set by its
        changed members.
        """
        before, after = self._before, self.dump()
        return {
            name: _difference(before.get(name), after.get(name))
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
        }

    def dump(self) -> Dump:
        """Every key of the database but births and released, those of the shard by short names."""
        found = {key.decode() for key in self.client.scan_iter(count=1_000)}
        names = sorted(found.difference(self.shard.keys.indexes))
        return {name.removeprefix(self.shard.keys.prefix): self._content(name) for name in names}

    def snapshot(self) -> Snapshot:
        """The snapshot of the shard."""
        return take_snapshot(self.shard)

    def clear(self) -> None:
        """Delete the keys that tests have seen."""
        self.client.flushall()

    def _content(self, name: str) -> Any:
        kind = self.client.type(name)
        if kind == b"list":
            return self.client.lrange(name, 0, -1)[::-1]
        if kind == b"zset":
            members = self.client.zrange(name, 0, -1, withscores=True)
            return {member.decode(): int(score) for member, score in members}
        if kind == b"hash":
            fields = {
                key.decode(): text.decode() for key, text in self.client.hgetall(name).items()
            }
            return _lines(fields) if name == self.shard.keys.info else counted(numbers(fields))
        return self.client.xrange(name) if kind == b"stream" else self.client.get(name)

    def _batches(
        self, batches: Mapping[str, Sequence[bytes]]
    ) -> Iterable[tuple[str, Sequence[bytes]]]:
        return [(self.shard.keys.batch(batch_id), events) for batch_id, events in batches.items()]

    def _clock_ms(self) -> int:
        seconds, microseconds = self.client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def _lines(fields: Mapping[str, str]) -> dict[str, Line]:
    return {batch_id: _line(text) for batch_id, text in fields.items()}


def _line(text: str) -> Line:
    *numbers, error = text.split(":", 6)
    attempt, lost, events, size, first, sealed = map(int, numbers)
    return Line(attempt, lost, events, size, first, sealed, error)


def expected_indexes(shard: Shard) -> tuple[dict[str, int], dict[str, int], int]:
    """The births, the released and the sum of their events, by the lines and the sets of a shard."""
    k = shard.keys
    ready, leases = (set(shard.client.zrange(key, 0, -1)) for key in (k.ready, k.leases))
    births, released, events = {}, {}, 0
    for name, text in shard.client.hgetall(k.info).items():
        if re.fullmatch(rb"(\d+:){6}.*", text, re.DOTALL) and name in ready | leases:
            line = _line(text.decode())
            births[name.decode()] = int(line.first)
            if name in ready and line.attempt and line.error:
                released[name.decode()] = line.attempt * RELEASED_UNIT + line.events
                events += line.events
    return births, released, events


def read_indexes(shard: Shard) -> tuple[dict[str, int], dict[str, int], int]:
    """The births, the released and the sum of their events, as they stand in Redis."""
    births, released = (
        {name.decode(): int(score) for name, score in found}
        for found in (
            shard.client.zrange(key, 0, -1, withscores=True) for key in shard.keys.indexes
        )
    )
    return births, released, int(shard.client.hget(shard.keys.meta, "released_events") or 0)


def enter_indexes(shard: Shard) -> None:
    """Make births and released say what the lines say."""
    *sets, events = expected_indexes(shard)
    shard.client.delete(*shard.keys.indexes)
    for key, members in zip(shard.keys.indexes, sets, strict=True):
        if members:
            shard.client.zadd(key, members)
    if events:
        shard.client.hset(shard.keys.meta, "released_events", events)


def counted(meta: dict[str, Any]) -> dict[str, Any]:
    """A meta hash with append.lua's counters merged and without the room that was granted."""
    meta = {
        name: value
        for name, value in meta.items()
        if name != "released_events" and not name.startswith(("drop_first_ms:", "drop_last_ms:"))
    }
    room = {name: meta.pop(name, 0) for name in (*ROOM, *OLD_ROOM)}
    events = size = 0
    if room["granted_accepted"] == meta.get("accepted", 0):
        events, size = divmod(room["granted"] - room["room"], ROOM_UNIT)
    events += room["granted_events"] - room["room_events"]
    size += room["granted_bytes"] - room["room_bytes"]
    for name, more in [*((each, events) for each in COUNTS), *((each, size) for each in SIZES)]:
        if more:
            meta[name] = meta.get(name, 0) + more
    return meta


def numbers(fields: Mapping[str, str]) -> dict[str, int | str]:
    """A hash with its whole numbers converted to int."""
    return {
        name: int(text) if text.lstrip("-").isdigit() else text for name, text in fields.items()
    }


def _difference(before: Any, after: Any) -> Any:
    if not isinstance(after, dict):
        return after
    old = before or {}
    return {
        member: after.get(member)
        for member in sorted({*old, *after})
        if old.get(member) != after.get(member)
    }
