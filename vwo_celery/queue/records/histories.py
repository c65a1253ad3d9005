"""A queue's history: samples of its counters, one a minute, which need no other database.

Beside an event's way. The sweep writes them and operators read them. Counters are cumulative, so a
missing sample loses no event of the sums, only when they came. If the process dies here, a sample
may be missing, which is shown as a gap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple, TypeVar

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.pipelining import Call, Command, run_all, send_all
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.buckets import AGE_BOUNDS_SECONDS
from vwo_celery.queue.words.keys import as_text, split_shard_name
from vwo_celery.queue.words.numbers import number

#: How much history a worker keeps, as its setting says.
Keeping = Literal["full", "short", "off"]
Answer = TypeVar("Answer")

_MINUTE_MS = 60_000
#: Most watched shards of which the coarser samples are kept, too.
MOST_IN_FULL = 200
#: Field of the pulse: Unix ms of the minute of which all watched shards were sampled last.
_SAMPLED = "sampled"


class Period(NamedTuple):
    """One kind of history: how far its samples are apart, how many are kept, and whether with ages."""

    name: str
    key: str
    period_ms: int
    most: int
    keeps_ages: bool = False

    @property
    def span_seconds(self) -> float:
        """Time that the samples cover."""
        return self.period_ms * self.most / 1000


#: From the finest to the coarsest: 8 hours, 7 days, 90 days.
PERIODS = (
    Period("minute", "minutes", _MINUTE_MS, 480, keeps_ages=True),
    Period("ten_minutes", "ten_minutes", 10 * _MINUTE_MS, 1_008),
    Period("hour", "hours", 60 * _MINUTE_MS, 2_160),
)


class Sample(msgspec.Struct, frozen=True):
    """The counters of one shard as they stood at one time.

    Attributes:
        at_ms: Unix ms of the beginning of its minute, ten minutes or hour.
        accepted: Events accepted so far.
        delivered: Events delivered so far.
        dead: Events in dead letters then.
        dropped: Events dropped so far.
        refused: Events refused so far, since the queue was full.
        undelivered: Events open, ready, released or in flight then.
        bytes: Their size.
        oldest_ms: Age of the oldest of them, 0 if there was none.
        stopped: 1 if the queue was paused or its circuit open, else 0.
        tries: Requests to VWO so far.
        failed: Those of them so far that VWO did not accept.
        ages: Batches accepted so far by the age of their oldest event, in the buckets of
            `AGE_BOUNDS_SECONDS`; None in a sample that does not hold them.
    """

    at_ms: int
    accepted: int = 0
    delivered: int = 0
    dead: int = 0
    dropped: int = 0
    refused: int = 0
    undelivered: int = 0
    bytes: int = 0
    oldest_ms: int = 0
    stopped: int = 0
    tries: int = 0
    failed: int = 0
    ages: tuple[int, ...] | None = None


#: The field of a sample that holds its ages; the other fields are numbers.
_AGES = "ages"
_NUMBERS = [name for name in Sample.__struct_fields__ if name not in ("at_ms", _AGES)]
_COUNT = re.compile(r"\b(\d{1,3}):(\d+)", re.ASCII)


def sample_if_due(fleet: Fleet, keeping: Keeping) -> None:
    """Sample every watched shard, once in each minute of the whole fleet.

    A shard that holds nothing is watched for ten minutes more; after that nothing of it changes, and
    nothing is written. What Redis refuses is logged now and then, and missing.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    if keeping == "off":
        return
    fleet = fleet.reader
    minute_ms = fleet.now_ms() // _MINUTE_MS * _MINUTE_MS
    if fleet.memory.sampled_ms == minute_ms:
        return
    fleet.memory.sampled_ms = minute_ms
    if _attempt(fleet, partial(last_sampled_ms, fleet), 0) == minute_ms:
        return
    names = fleet.on_living_parts(fleet.watched_names())
    full = keeping == "full" and len(names) <= MOST_IN_FULL
    refused = sample(fleet, [fleet.shard(*split_shard_name(name)) for name in names], full=full)
    if not names or refused < len(names):
        _attempt(fleet, partial(_note_sampled, fleet, minute_ms), None)


def _attempt(fleet: Fleet, act: Callable[[], Answer], otherwise: Answer) -> Answer:
    return fleet.hints.attempt(fleet.keys.pulse, "the note of the last samples", act, otherwise)


def last_sampled_ms(fleet: Fleet) -> int:
    """Unix ms of the last minute of which the watched shards were sampled; 0 for never.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable("look-up of the last samples"):
        return number(fleet.client.hget(fleet.keys.pulse, _SAMPLED))


def _note_sampled(fleet: Fleet, minute_ms: int) -> None:
    with unavailable("note of the last samples"):
        fleet.client.hset(fleet.keys.pulse, _SAMPLED, minute_ms)


def sample(fleet: Fleet, shards: Sequence[Shard], *, full: bool = True) -> int:
    """Write a sample of each shard, with *full* the coarser ones as well.

    Returns:
        The number of shards of which Redis refused it.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    periods = PERIODS if full else PERIODS[:1]
    numbers = [
        word for each in periods for word in (each.period_ms, each.most, int(each.keeps_ages))
    ]
    calls = [
        Call([*_sources(s), *(getattr(s.keys, p.key) for p in periods)], numbers) for s in shards
    ]
    refused = 0
    with unavailable("samples of the counters"):
        answers = run_all(fleet.client, script("sample"), calls)
        for shard, answer in zip(shards, answers, strict=True):
            if isinstance(answer, Exception):
                refused += 1
                fleet.hints.warn(_SAMPLED, f"samples of {shard.keys.name} and maybe others", answer)
    return refused


def _sources(shard: Shard) -> tuple[str, ...]:
    k = shard.keys
    return k.meta, k.open, k.births, k.tally


def read_samples(
    fleet: Fleet, shards: Sequence[Shard], period: Period, since_ms: int
) -> list[list[Sample]]:
    """The samples of each shard since that Unix ms, the oldest first.

    A shard whose key cannot be read, or that is on a part of a Cluster that is away, has none.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    keys = [getattr(shard.keys, period.key) for shard in shards]
    with unavailable("look-up of the history"):
        commands = [Command(key, ("XRANGE", key, since_ms, "+")) for key in keys]
        answers = send_all(fleet.client, commands, ())
    return [[] if isinstance(found, Exception) else _samples(found) for found in answers]


def _samples(entries: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> list[Sample]:
    return [_sample(number(entry_id.partition(b"-")[0]), fields) for entry_id, fields in entries]


def _sample(at_ms: int, fields: Mapping[bytes, bytes]) -> Sample:
    texts = {as_text(field): value for field, value in fields.items()}
    numbers = {name: number(texts[name]) for name in _NUMBERS if name in texts}
    ages = _counts(as_text(texts[_AGES])) if _AGES in texts else None
    return Sample(at_ms, ages=ages, **numbers)


def _counts(text: str) -> tuple[int, ...]:
    """What lua/sample.lua wrote of the buckets: number of the bucket and count of each that has any."""
    counts = [0] * (len(AGE_BOUNDS_SECONDS) + 1)
    for bucket, count in _COUNT.findall(text):
        if int(bucket) < len(counts):
            counts[int(bucket)] = int(count)
    return tuple(counts)
