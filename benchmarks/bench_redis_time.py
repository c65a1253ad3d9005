"""Time for which each command holds Redis, from INFO commandstats, for several batch sizes.

Each row is a run of calls of one kind: one script's garbage in Lua is not collected on the account of
the next. append.lua, for which a web request waits, is measured in turns with a bare LPUSH of the same
event and with a script that does nothing, one call at a time and in a pipeline. ack.lua is measured in
turns with one that is given no counts, by the processor time of Redis, which a busy machine changes less.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from shared import EVENT_BYTES, destination, event, show

import vwo_celery
from vwo_celery.events import encode
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.calls import ack_call
from vwo_celery.queue.scripts import script
from vwo_celery.queue.words import counts
from vwo_celery.queue.words.buckets import AGE_BOUNDS_SECONDS, POST_BOUNDS_SECONDS, SIZE_BOUNDS
from vwo_celery.queue.words.counts import AGE, NOTHING, POST, SIZE, Counts
from vwo_celery.queue.words.marks import Marks
from vwo_celery.testing import RedisServer

SIZES = (1, 100, 500, 1000, 5000)
BATCHES = 100
COMMANDS = ("cmdstat_evalsha", "cmdstat_lrange")
#: Calls of append.lua in one round, of all its rounds, and in one pipeline.
APPENDS, APPEND_ROUNDS, PIPELINED = 4_000, 7, 200
#: Acks in one round, and rounds of each kind.
ACKS, ACK_ROUNDS = 500, 15


def main() -> None:
    """Print a row for each command and size."""
    with RedisServer() as server:
        appending = _Appending(server.url)
        singly, together = appending.rows(1), appending.rows(PIPELINED)
        rows = [row for size in SIZES for row in _Measure(server.url, size).rows()]
        acks = _Acking(server.url).rows()
    show(
        f"Redis time of one event of {EVENT_BYTES} bytes, medians of {APPEND_ROUNDS} rounds in turns",
        [*singly, *together], "command", "in a pipeline of", "µs a call", "times LPUSH",
    )  # fmt: skip
    show(
        f"Redis time, events of {EVENT_BYTES} bytes",
        rows, "command", "events", "µs a call", "µs an event moved",
    )  # fmt: skip
    show(
        f"Processor time of Redis for an ack, {ACK_ROUNDS} rounds in turns: medians, and the least",
        acks, "command", "µs a call", "times ack", "µs, least", "times ack",
    )  # fmt: skip


class _Appending:
    """append.lua, a bare LPUSH and a script that does nothing."""

    def __init__(self, url: str) -> None:
        queue = vwo_celery.connect(
            destination(), batch_event_data={"events_per_request": 5_000}, redis_url=url
        )
        producer = producer_of(queue)
        queue.enqueue(event())
        self.client, self.shard = producer.fleet.client, producer.shards[0]
        self.encoded, self.numbers = encode(event()), count()

    def rows(self, pipelined: int) -> list[tuple[str, ...]]:
        contenders: dict[str, Callable[[], Iterator[tuple[Any, ...]]]] = {
            "LPUSH": self._pushes, "an empty script": self._nothings, "append": self._appends
        }  # fmt: skip
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(APPEND_ROUNDS):
            for name, contender in contenders.items():
                times[name].append(self._measure(contender(), pipelined))
        medians = {name: statistics.median(found) for name, found in times.items()}
        return [
            (name, str(pipelined), f"{median:.2f}", f"{median / medians['LPUSH']:.2f}")
            for name, median in medians.items()
        ]

    def _measure(self, commands: Iterator[tuple[Any, ...]], pipelined: int) -> float:
        made = list(commands)
        self.client.config_resetstat()
        if pipelined == 1:
            for command in made:
                self.client.execute_command(*command)
        for start in range(0, len(made) if pipelined > 1 else 0, pipelined):
            pipe = self.client.pipeline(transaction=False)
            for command in made[start : start + pipelined]:
                pipe.execute_command(*command)
            pipe.execute()
        stats = self.client.info("commandstats")
        (name,) = {"cmdstat_evalsha", "cmdstat_lpush"} & stats.keys()
        return float(stats[name]["usec_per_call"])

    def _pushes(self) -> Iterator[tuple[Any, ...]]:
        """A list of its own for each round, since memory that was used before is quicker to fill."""
        name = f"bench:{next(self.numbers)}"
        return (("LPUSH", name, self.encoded) for _ in range(APPENDS))

    def _nothings(self) -> Iterator[tuple[Any, ...]]:
        """The words that append.lua is given, for a script that does not look at them."""
        sha = self.client.script_load("return 1")
        return (("EVALSHA", sha, *words[2:]) for words in self._appends())

    def _appends(self) -> Iterator[tuple[Any, ...]]:
        """One push opens a list, with room for all that follow."""
        shard, marks = self.shard, Marks()
        shard.sweep(force=True, idle_ms=10**6)
        mark = marks.take(1)
        shard.push(shard.push_command(mark, (self.encoded,), 2))
        marks.give_back_pushed(mark, renewed=True)
        for _ in range(APPENDS):
            mark = marks.take(1)
            yield script("append").command(
                (shard.keys.open, shard.keys.meta, shard.keys.mark(mark.id)),
                (mark.number, mark.stored, self.encoded),
            )
            marks.give_back(mark)


class _Acking:
    """ack.lua, with what a worker counts of a batch and without."""

    def __init__(self, url: str) -> None:
        self.queue = vwo_celery.connect(
            destination(), batch_event_data={"events_per_request": 1}, redis_url=url,
            max_parallel_sends=ACKS, enqueue_timeout_seconds=10,
        )  # fmt: skip
        producer = producer_of(self.queue)
        self.client, self.shard = producer.fleet.client, producer.shards[0]
        self.client.flushall()
        self.client.script_load(script("ack").text)
        usual = counts.request("200", seconds=0.12, events=100)
        self.counts = counts.summed(usual, counts.accepted(4.2))

    def rows(self) -> list[tuple[str, ...]]:
        """The times of both, in a shard whose tally knows all buckets."""
        self._settle(self.counts)
        bounds = {AGE: AGE_BOUNDS_SECONDS, POST: POST_BOUNDS_SECONDS, SIZE: SIZE_BOUNDS}
        every = {f"{family}{i}": 10**6 for family in bounds for i in range(len(bounds[family]) + 1)}
        self.client.hset(self.shard.keys.tally, mapping=every)
        times: dict[str, list[float]] = {"ack": [], "ack and its counts": []}
        for _ in range(ACK_ROUNDS):
            for name, given in zip(times, (NOTHING, self.counts), strict=True):
                times[name].append(self._settle(given))
        least = {name: min(found) for name, found in times.items()}
        medians = {name: statistics.median(found) for name, found in times.items()}
        return [
            (
                name, f"{medians[name]:.1f}", f"{medians[name] / medians['ack']:.2f}",
                f"{least[name]:.1f}", f"{least[name] / least['ack']:.2f}",
            )
            for name in times
        ]  # fmt: skip

    def _settle(self, given: Counts) -> float:
        self.queue.enqueue_many([event(number) for number in range(ACKS)])
        pipe = self.client.pipeline(transaction=False)
        for _ in range(ACKS):
            batch = self.shard.claim(token="", lease_seconds=600)
            call = ack_call(self.shard.keys, batch.id, batch.claimed_ms, given)
            pipe.execute_command(*script("ack").command(*call))
        before = self._processor_seconds()
        pipe.execute()
        return (self._processor_seconds() - before) / ACKS * 1e6

    def _processor_seconds(self) -> float:
        cpu = self.client.info("cpu")
        return float(cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"])


class _Measure:
    def __init__(self, url: str, size: int) -> None:
        self.queue = vwo_celery.connect(
            destination(),
            batch_event_data={"events_per_request": size},
            redis_url=url,
            max_queue_events=10**8,
            max_queue_bytes=10**11,
            max_parallel_sends=64,
            enqueue_timeout_seconds=10,  # an event that is spooled would be missing
        )
        producer = producer_of(self.queue)
        self.client, self.shard, self.size = producer.fleet.client, producer.shards[0], size
        self.client.flushall()
        self.count = BATCHES if size <= 1000 else BATCHES // 5
        self.encoded = [encode(event(number)) for number in range(size)]

    def rows(self) -> list[tuple[str, ...]]:
        """Fill, claim, read, release, claim and ack, each for all batches before the next."""
        page = min(self.size, 1000)
        rows = [self._row(f"enqueue_many({page})", page, self._fill)]
        claimed: list[Any] = []
        rows.append(self._row("claim", 0, lambda: self._claim(claimed)))
        rows.append(self._row(f"read, {page} a page", page, lambda: self._read(claimed)))
        rows.append(self._row("extend", 0, lambda: self._extend(claimed)))
        rows.append(self._row("release", 0, lambda: self._release(claimed)))
        rows.append(self._row("sweep", 0, self._sweep))
        again: list[Any] = []
        self._claim(again)
        rows.append(self._row("ack", 0, lambda: self._ack(again)))
        return rows

    def _row(self, name: str, moved: int, work: Callable[[], None]) -> tuple[str, ...]:
        self.client.config_resetstat()
        work()
        stats = self.client.info("commandstats")
        longest = max(stats[each]["usec_per_call"] for each in COMMANDS if each in stats)
        each = f"{longest / moved:.2f}" if moved else "–"
        return name, str(self.size), f"{longest:.0f}", each

    def _fill(self) -> None:
        for _ in range(self.count):
            self.queue.enqueue_many(self.encoded)

    def _claim(self, claimed: list[Any]) -> None:
        while batch := self.shard.claim(token="", lease_seconds=600):
            claimed.append(batch)

    def _read(self, claimed: list[Any]) -> None:
        for batch in claimed:
            self.shard.read(batch)

    def _extend(self, claimed: list[Any]) -> None:
        for batch in claimed:
            self.shard.extend(batch, lease_seconds=600)

    def _release(self, claimed: list[Any]) -> None:
        for batch in claimed:
            self.shard.release(batch, delay_seconds=0, error="")

    def _sweep(self) -> None:
        for _ in range(self.count):
            self.shard.sweep(force=False, idle_ms=10**6)

    def _ack(self, claimed: list[Any]) -> None:
        for batch in claimed:
            self.shard.ack(batch.id)


if __name__ == "__main__":
    main()
