"""What a glance reads of each shard: by one script, or by the same commands from a user who may run none.

Beneath `glances`. Changes nothing: nothing to lose. An error of one shard is that shard's answer. Redis
7 and newer let a user without the right to change anything run a script that changes nothing; for such
a user on Redis 6.2 the commands are sent one by one, in two round trips for hundreds of shards, and the
numbers of a shard are then not of one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from redis.exceptions import NoScriptError, ResponseError

from vwo_celery.connections.troubles import is_denied
from vwo_celery.queue.parts import first_answer
from vwo_celery.queue.pipelining import Call, Command, LoadDenied, run_all, send_each
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import SHARD_FAMILIES, KeyFamily, as_text
from vwo_celery.queue.words.numbers import bounded

#: Most leases that are read: as many as `max_parallel_sends` allows at most.
_MOST_LEASES: Final = 1000
#: Batches read at each end of a shard's ready batches, and of its births.
_FEW: Final = 5
#: Shards that the plain commands of one round trip look at.
_SHARDS_A_ROUND_TRIP: Final = 250
#: Words of Redis for a command that it does not know.
_UNKNOWN: Final = "unknown command"
_WRONG_TYPE: Final = "WRONGTYPE"
#: What follows the number of open events in the look at a shard without batches and slots.
_NO_BATCHES: Final = (*[0] * 7, *[()] * 5, 0, *[()] * 6)

Members = list[tuple[str, float]]


class Raw(NamedTuple):
    """The answer of glance.lua, whole."""

    time: Any
    meta: dict[bytes, bytes]
    open_events: int
    ready_batches: int
    leases_batches: int
    dead_batches: int
    births_batches: int
    released_batches: int
    leaving_batches: int
    slots: int
    leases: Members
    first: Members
    last: Members
    births: Members
    worst: Members
    hidden: int
    next_hidden: Members
    lines: list[bytes | None]
    born: list[float | None]
    births_ready: list[float | None]
    births_leases: list[float | None]
    marked: list[float | None]

    @property
    def now_ms(self) -> int:
        """Redis' time."""
        return int(self.time[0]) * 1000 + int(self.time[1]) // 1000


def read_all(shards: Sequence[Shard]) -> list[Raw | Exception]:
    """Read each shard, in their order; an error of one is its answer.

    Raises:
        redis.exceptions.RedisError: The server did not answer; of a Cluster, no node did.
    """
    if not shards:
        return []
    client = shards[0].client
    found = list(run_all(client, script("glance"), [_call(shard) for shard in shards]))
    found = _repeat(client, shards, found, _read_only, _is_refused)
    answers = [each if isinstance(each, Exception) else _from_script(each) for each in found]
    return _repeat(client, shards, answers, _read_plainly, _may_not_run)


def _repeat(
    client: Any,
    shards: Sequence[Shard],
    answers: list[Any],
    read: Callable[[Any, Sequence[Shard]], list[Any]],
    wanted: Callable[[Any], bool],
) -> list[Any]:
    """Read those shards in another way whose answer is *wanted* of it."""
    numbers = [number for number, answer in enumerate(answers) if wanted(answer)]
    for start in range(0, len(numbers), _SHARDS_A_ROUND_TRIP):
        page = numbers[start : start + _SHARDS_A_ROUND_TRIP]
        found = read(client, [shards[number] for number in page])
        for number, answer in zip(page, found, strict=True):
            answers[number] = answer
    return answers


def _is_refused(answer: Any) -> bool:
    """Whether the user may not run the script as it was sent, or Redis does not know that way."""
    if isinstance(answer, LoadDenied):
        return False  # another way to run it does not make it known
    return isinstance(answer, ResponseError) and (is_denied(answer) or _UNKNOWN in str(answer))


def _may_not_run(answer: Any) -> bool:
    """Whether the user may not run the script, or not give it to Redis, which does not know it."""
    return isinstance(answer, (LoadDenied, NoScriptError)) or _is_refused(answer)


def _call(shard: Shard) -> Call:
    k = shard.keys
    keys = (k.open, k.meta, k.ready, k.leases, k.info, k.dead, *k.indexes, k.leaving, k.slots)
    return Call(keys, (_MOST_LEASES, _FEW))


def _read_only(client: Any, shards: Sequence[Shard]) -> list[Any]:
    """Run the script as one that changes nothing, which Redis 7 and newer know."""
    commands = []
    for keys, arguments in map(_call, shards):
        words = script("glance").command(keys, arguments)
        commands.append(Command(keys[0], (f"{words[0]}_RO", *words[1:])))
    return send_each(client, commands)


def _from_script(answer: Any) -> Raw:
    time, meta, *numbers = answer
    if len(numbers) == 1:
        return Raw._make((time, dict(_pairs(meta)), *numbers, *_NO_BATCHES))
    counts, members, rest = numbers[:8], numbers[8:13], numbers[13:]
    hidden, next_hidden, lines, *scores = rest
    named = (*map(_members, members), hidden, _members(next_hidden))
    return Raw._make((time, dict(_pairs(meta)), *counts, *named, lines, *map(_scores, scores)))


# -- without scripts


def _read_plainly(client: Any, shards: Sequence[Shard]) -> list[Raw | Exception]:
    """Send the commands of the script; what it finds out in between takes a second round trip."""
    time = first_answer(client, lambda server: server.time())
    now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
    found = _in_parts(client, shards, [_numbers_of(shard, now_ms) for shard in shards])
    asked = [
        [] if isinstance(each, Exception) else _details_of(shard, each)
        for shard, each in zip(shards, found, strict=True)
    ]
    details = _in_parts(client, shards, asked)
    answers: list[Raw | Exception] = []
    for numbers, more in zip(found, details, strict=True):
        if isinstance(numbers, Exception):
            answers.append(numbers)
        else:
            answers.append(more if isinstance(more, Exception) else _raw(time, numbers, more))
    return answers


def _numbers_of(shard: Shard, now_ms: int) -> list[tuple[Any, ...]]:
    k, ahead = shard.keys, (f"({now_ms}", "+inf")
    return [
        ("HGETALL", k.meta),
        ("LLEN", k.open),
        *(("ZCARD", key) for key in (k.ready, k.leases, k.dead, k.births, k.released)),
        ("HLEN", k.leaving),
        ("ZCARD", k.slots),
        ("ZRANGE", k.leases, 0, _MOST_LEASES - 1, "WITHSCORES"),
        ("ZRANGE", k.ready, 0, _FEW - 1, "WITHSCORES"),
        ("ZRANGE", k.ready, -_FEW, -1, "WITHSCORES"),
        ("ZRANGE", k.births, 0, _FEW - 1, "WITHSCORES"),
        ("ZRANGE", k.released, -1, -1, "WITHSCORES"),
        ("ZCOUNT", k.ready, *ahead),
        ("ZRANGEBYSCORE", k.ready, *ahead, "WITHSCORES", "LIMIT", 0, 1),
    ]


def _details_of(shard: Shard, numbers: Sequence[Any]) -> list[tuple[Any, ...]]:
    k = shard.keys
    commands = (
        ("HMGET", k.info), ("ZMSCORE", k.births), ("ZMSCORE", k.ready), ("ZMSCORE", k.leases),
        ("ZMSCORE", k.released),
    )  # fmt: skip
    asked = zip(commands, _asked_of(list(map(_scored, numbers[9:14]))), strict=True)
    return [(*command, *(names or ("",))) for command, names in asked]


def _in_parts(
    client: Any, shards: Sequence[Shard], asked: Sequence[Sequence[tuple[Any, ...]]]
) -> list[list[Any] | Exception]:
    """Send each shard's commands, all in one round trip; the first error of a shard is its answer."""
    commands = [
        Command(shard.keys.meta, words)
        for shard, those in zip(shards, asked, strict=True)
        for words in those
    ]
    answers = iter(send_each(client, commands))
    found: list[list[Any] | Exception] = []
    for those in asked:
        part = [next(answers) for _ in those]
        found.append(next((each for each in part if isinstance(each, Exception)), part))
    return found


def _raw(time: Any, numbers: Sequence[Any], details: Sequence[Any]) -> Raw:
    meta, open_events, *counts = numbers[:9]
    scored = list(map(_scored, numbers[9:14]))
    hidden, next_hidden = numbers[14:]
    names = _asked_of(scored)
    # Where nothing was to be asked, one name was, since Redis wants one.
    found = [answer[: len(those)] for answer, those in zip(details, names, strict=True)]
    named = (*map(_times, scored), hidden, _times(_scored(next_hidden)))
    return Raw._make((time, meta, open_events, *counts, *named, *found))


def _asked_of(members: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The names that the second round trip asks for, by the first one's leases, ready and others."""
    leases, first, last, births, worst = ([each[0] for each in those] for those in members)
    return [leases + first + last + worst, first + last, births, births, leases + last]


def _scored(answer: Sequence[Any]) -> list[Sequence[Any]]:
    """Members with their scores, which RESP3 has in pairs, and RESP2 one after the other."""
    return [*_pairs(answer)] if answer and isinstance(answer[0], bytes) else [*answer]


def _times(scored: Sequence[Sequence[Any]]) -> Members:
    return [(as_text(name), bounded(at)) for name, at in scored]


def _members(flat: Sequence[bytes]) -> Members:
    return [(as_text(name), bounded(at)) for name, at in _pairs(flat)]


def _scores(found: Sequence[bytes | None]) -> list[float | None]:
    return [None if score is None else bounded(score) for score in found]


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


# -- a key that is not what it should be


def broken_keys(shard: Shard) -> tuple[str, ...]:
    """The keys of a shard that are of another type than they should be, each in words."""
    tries = {"list": ("LLEN",), "hash": ("HMGET", "limits"), "zset": ("ZCARD",), "string": ("GET",)}
    keys = {
        name: family.type
        for family in SHARD_FAMILIES  # a glance reads no others
        if family.type in tries and (name := _key_of(shard, family))
    }
    asked = [
        (command, key, *more) for key, kind in keys.items() for command, *more in [tries[kind]]
    ]
    answers = send_each(shard.client, [Command(shard.keys.meta, words) for words in asked])
    return tuple(
        f"the key {key}, which is no {kind} (WRONGTYPE)"
        for (key, kind), answer in zip(keys.items(), answers, strict=True)
        if isinstance(answer, ResponseError) and _WRONG_TYPE in str(answer)
    )


def _key_of(shard: Shard, family: KeyFamily) -> str:
    return str(getattr(shard.keys, family.pattern, ""))
