"""A past for queues that were made a moment ago: their troubles began long ago, their history is full.

Written straight into Redis: every time that a queue's keys hold is moved back, and samples are put
where the sweep would have written them. The last sample stands just before now, so that charts and
numbers of the present agree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from vwo_celery.queue.records.histories import PERIODS, Period
from vwo_celery.queue.shard import Shard

#: Unix ms as text, as lines and hashes hold it; no batch id has such a number between its dots.
_TIME: Final = re.compile(r"(?<![\d.+])1[6-9]\d{11}(?!\d)")
_HOUR_SECONDS: Final = 3600
_DAY_SECONDS: Final = 24 * _HOUR_SECONDS
#: Scores of these are times, of which those that are over are moved.
_SCORED: Final = ("births", "dead")
_LINES: Final = ("meta", "info", "circuit", "declined", "tally")
#: Events of each request of the past, and the time between two probes while nothing is accepted.
_EVENTS_A_REQUEST: Final = 100
_PROBE_SECONDS: Final = 60
#: Share of the requests by the bucket of their oldest event's age.
_AGES: Final = {2: 0.55, 3: 0.4, 4: 0.05}


def move_back(client: Any, shard: Shard, seconds: float) -> None:
    """Let everything that a shard knows have happened so many seconds earlier."""
    keys, by_ms = shard.keys, int(1000 * seconds)
    now_ms = _now_ms(client)
    for name in _LINES:
        key = getattr(keys, name)
        lines: dict[str, str] = {
            field.decode(): value.decode("utf-8", "replace")
            for field, value in client.hgetall(key).items()
        }
        moved = {field: _moved(text, by_ms, now_ms) for field, text in lines.items()}
        changed = {field: text for field, text in moved.items() if text != lines[field]}
        if changed:
            client.hset(key, mapping=changed)
    for name in _SCORED:
        scores = client.zrange(getattr(keys, name), 0, -1, withscores=True)
        if scores:
            client.zadd(getattr(keys, name), {each: at - by_ms for each, at in scores})


def _moved(text: str, by_ms: int, now_ms: int) -> str:
    def earlier(found: re.Match[str]) -> str:
        at_ms = int(found[0])
        return str(at_ms - by_ms) if at_ms <= now_ms else found[0]

    return _TIME.sub(earlier, text)


def spread_dead(client: Any, shard: Shard, ages_seconds: list[float]) -> None:
    """Let the dead letters of a shard have died at different times; the first age is the oldest's."""
    batches = client.zrange(shard.keys.dead, 0, -1)
    now_ms = _now_ms(client)
    ages = dict(zip(batches, ages_seconds, strict=True))
    client.zadd(shard.keys.dead, {each: now_ms - int(1000 * age) for each, age in ages.items()})


def write_history(client: Any, shard: Shard, *, rate: float, stopped_seconds: float | None) -> None:
    """Give a shard ninety days of samples, as of a shop with its busy and its quiet hours.

    Args:
        client: Redis.
        shard: The shard; its counters are raised by what its past accepted and delivered.
        rate: Events a second, on the mean of a day.
        stopped_seconds: Time since which nothing is delivered, so that events pile up; None if all is.
    """
    now_ms = _now_ms(client)
    meta = {name.decode(): value for name, value in client.hgetall(shard.keys.meta).items()}
    waiting, dead = int(meta.get("events", 0)), int(meta.get("dead", 0))
    past = int(_accepted(90 * _DAY_SECONDS, rate))
    for counter in ("accepted", "delivered"):
        client.hincrby(shard.keys.meta, counter, past)
    accepted, delivered = (
        past + int(meta.get(counter, 0)) for counter in ("accepted", "delivered")
    )
    _count_requests(client, shard, *_requests(delivered, stopped_seconds or 0))
    for period in PERIODS:
        key = getattr(shard.keys, period.key)
        pipe = client.pipeline()
        pipe.delete(key)
        for at_ms in _times(period, now_ms):
            age = (now_ms - at_ms) / 1000
            sample = _sample(age, rate, stopped_seconds, accepted, delivered, waiting, dead)
            pipe.xadd(key, sample, id=f"{at_ms}-0")
        pipe.execute()


def _requests(delivered: int, failing_seconds: float) -> tuple[int, int]:
    """The requests that VWO accepted so far, and those that it did not."""
    return delivered // _EVENTS_A_REQUEST, int(failing_seconds / _PROBE_SECONDS)


def _ages(accepted: int) -> dict[int, int]:
    return {bucket: int(share * accepted) for bucket, share in _AGES.items()}


def _count_requests(client: Any, shard: Shard, accepted: int, failed: int) -> None:
    counts = {"answer:200": accepted, "answer:503": failed}
    counts |= {f"age:{bucket}": batches for bucket, batches in _ages(accepted).items()}
    for field, count in counts.items():
        if count:
            client.hincrby(shard.keys.tally, field, count)


def _sample(
    age: float, rate: float, stopped: float | None, accepted: int, delivered: int,
    waiting: int, dead: int,
) -> Mapping[Any, Any]:  # fmt: skip
    """The counters as they stood *age* seconds ago."""
    is_stopped = stopped is not None and age < stopped
    piled = 0
    if stopped is not None and is_stopped:
        piled = int(waiting * (1 - age / stopped))
        came = accepted - (waiting - piled)
        left = delivered
    else:
        before = age - (stopped or 0)
        came = accepted - (waiting if stopped else 0) - int(_accepted(before, rate))
        left = delivered - int(_accepted(before, rate))
        piled = int(rate * 3)
    oldest = stopped - age if is_stopped and stopped is not None else 4
    tries, failed = _requests(left, oldest if is_stopped else 0)
    return {
        "accepted": came, "delivered": left, "dead": dead, "dropped": 0, "refused": 0,
        "undelivered": piled, "bytes": piled * 310, "oldest_ms": int(oldest * 1000),
        "stopped": int(is_stopped), "tries": tries + failed, "failed": failed,
        "ages": " ".join(f"{bucket}:{count}" for bucket, count in _ages(tries).items()),
    }  # fmt: skip


def _accepted(age: float, rate: float) -> float:
    """Events that came within the last *age* seconds: more by day than by night."""
    wave = _DAY_SECONDS / (2 * math.pi)
    busy = 0.6 * wave * math.sin(age / wave) + 0.15 * 900 * math.sin(age / 900)
    return rate * max(0.0, age + busy)


def _times(period: Period, now_ms: int) -> list[int]:
    last = now_ms // period.period_ms
    return [each * period.period_ms for each in range(last - period.most + 1, last + 1)]


def _now_ms(client: Any) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000
