"""Stores something in every state with the imported release, and reports what Redis then holds.
    python tests/upgrade/store_everything.py PATH           write the file; PATH may be a folder
    python tests/upgrade/store_everything.py --tell URL     only report what is in that Redis
Later releases are tested with the file: key by key what this release stored, in readable form, and
its own report on it. Only the release's own code writes to Redis, and only functions that every
release has are called; extra data of a release is found in its file. From one run to the next only
times, names of batches and ports change.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

import vwo_celery
from vwo_celery.delivering.delivery import Worker, deliver
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import sweeping
from vwo_celery.testing import Fault, RedisServer, Standin, wait_for

SDK_KEY = "0123456789abcdef0123456789abcdef"
#: Ten minutes: when the file is loaded, its leases and delays have not expired.
LONG_SECONDS = 600.0
#: The command `vwo-celery` of the imported release.
COMMAND = (sys.executable, "-c", "from vwo_celery.cli import main; main()")
#: Facts of a shard and of a batch that do not change by themselves.
FACTS = (
    "open_events", "accepted", "delivered", "dropped", "refused", "counted_events", "counted_bytes",
    "paused", "receiver_errors", "registered",
)  # fmt: skip
BATCH_FACTS = ("id", "state", "attempt", "lost_leases", "events", "bytes", "error")


def legacy(name: str) -> dict[str, Any]:
    """A legacy event with its own name."""
    return {"u": name, "sId": 1700000000, "c": 2, "e": 101, "eT": 1, "visitor_ua": 'ü: "“x”" \\'}


def fme(name: str) -> dict[str, Any]:
    """An FME event with its own name."""
    event = {"props": {"id": 1, "price": 9.5}, "name": "purchase", "time": 1700000000000}
    return {"d": {"msgId": f"{name}-1", "visId": name, "sessionId": 1700000000, "event": event}}


class Store:
    """The queues of one Redis, and a worker that is called directly."""

    def __init__(self, redis_url: str, standin: Standin) -> None:
        self.redis_url, self.standin = redis_url, standin
        self.client: Any = redis.Redis.from_url(redis_url)
        self.settings = vwo_celery.Settings(
            redis_url=redis_url, allowed_hosts=(standin.netloc,), lease_seconds=LONG_SECONDS,
            backoff_base_seconds=LONG_SECONDS, backoff_max_seconds=LONG_SECONDS,
        )  # fmt: skip
        self.fleet = Fleet(self.client, self.settings.namespace)
        self.worker = Worker(self.fleet, self.settings, lambda _: None)

    def queue(self, account: int, generation: Any, batch: Any, **settings: Any) -> vwo_celery.Queue:
        """A registered queue."""
        destination = vwo_celery.Destination(
            account_id=account, sdk_key=SDK_KEY, generation=generation, base_url=self.standin.url
        )
        queue = vwo_celery.connect(
            destination, batch_event_data=batch, strict=True, redis_url=self.redis_url, **settings
        )
        assert producer_of(queue).register()
        return queue

    def claim(self, queue: vwo_celery.Queue, lease_seconds: float = LONG_SECONDS) -> Any:
        """A batch in flight."""
        batch = producer_of(queue).shards[0].claim(token="", lease_seconds=lease_seconds)
        assert batch is not None
        return batch

    def deliver(self, queue: vwo_celery.Queue, *faults: Any) -> None:
        """Send the ready batches; VWO gives the answer."""
        self.standin.fail(*faults)
        deliver(self.worker, Wakeup(queue.name, 0, "no-slot"))

    def batches(self, queue: vwo_celery.Queue, state: str) -> list[Any]:
        """The sealed batches in *state*."""
        return [
            each
            for each in take_snapshot(producer_of(queue).shards[0]).batches
            if each.state == state
        ]

    # -- the stored states

    def a_life_in_all_its_stages(self) -> None:
        """Delivered, purged, dead, released, in flight, its lease lost, redriven, ready, open."""
        queue = self.queue(1, "legacy", {"events_per_request": 20, "request_time_interval": 300})
        self.fleet.want_results(producer_of(queue).registration, for_seconds=LONG_SECONDS)
        names = iter(f"life-{number}" for number in range(1000))

        def fill(events: int = 20) -> None:
            for _ in range(events):
                assert queue.enqueue(legacy(next(names)))

        fill()
        self.deliver(queue)
        shard = producer_of(queue).shards[0]
        for error in ("HTTP 400: unreadable", "too old: a week", "refused: ü"):
            fill()
            assert shard.dead_letter(self.claim(queue), error=error)
        first, second, _ = self.batches(queue, "dead")
        assert shard.purge(first.id) == 20
        assert shard.redrive(second.id) == 20
        assert shard.release(self.claim(queue), delay_seconds=LONG_SECONDS, error="HTTP 503: a: b")
        fill()
        self.claim(queue, lease_seconds=0.001)
        wait_for(lambda: not self.batches(queue, "in_flight"))
        assert self.claim(queue).lost_leases == 1
        fill()
        self.fleet.count_receiver_errors(queue.name, 2)
        fill(7)

    def what_vwo_refuses(self) -> None:
        """A batch that is too large, one with an unreadable event, and a destination that is down."""
        large = self.queue(2, "fme", {"events_per_request": 8, "request_time_interval": 300})
        large.enqueue_many([fme(f"large-{number}") for number in range(8)])
        self.deliver(large, 413)
        unread = self.queue(9, "fme", {"events_per_request": 4, "request_time_interval": 300})
        unread.enqueue_many([fme(f"unread-{number}") for number in range(8)])
        self.deliver(unread, None, *[400] * 3)
        self.standin.heal()
        away = self.queue(3, "legacy", {"events_per_request": 2, "request_time_interval": 300})
        away.enqueue_many([legacy(f"away-{number}") for number in range(20)])
        asked = (("Retry-After", str(int(LONG_SECONDS))),)
        self.deliver(away, *[Fault(status=503, headers=asked)] * 20)
        self.standin.heal()

    def a_pause(self) -> None:
        """A queue in two shards with a callback, paused because VWO refuses its key."""
        batch = {
            "events_per_request": 5, "request_time_interval": 60, "flush_callback": "json:dumps"
        }  # fmt: skip
        queue = self.queue(4, "fme", batch, shards=2)
        for number in range(40):
            assert queue.enqueue(fme(f"paused-{number}"))
        wait_for(lambda: self.batches(queue, "ready"))
        self.deliver(queue, Fault(status=401))

    def pushes_of_other_programs(self) -> None:
        """More than a batch of plain JSON: two batches, and the rest mixed with an event of ours."""
        queue = self.queue(5, "legacy", {"events_per_request": 10, "request_time_interval": 300})
        assert queue.enqueue(legacy("foreign-0"))
        texts = [json.dumps(legacy(f"foreign-{number}")) for number in range(1, 25)]
        self.client.lpush(producer_of(queue).shards[0].keys.open, *texts)
        sweeping.sweep_shard(producer_of(queue).shards[0])

    def a_full_queue(self) -> None:
        """Two events more than fit, twice, and a queue that never held anything."""
        batch = {"events_per_request": 100, "request_time_interval": 300}
        queue = self.queue(6, "fme", batch, max_queue_events=3, when_full="drop_newest")
        other = self.queue(10, "fme", batch, max_queue_events=3, when_full="drop_oldest")
        for number in range(5):
            queue.enqueue(fme(f"full-{number}"))
            other.enqueue(fme(f"oldest-{number}"))
        self.queue(7, "fme", batch)

    def events_since_the_sweep(self) -> None:
        """Single events, which a release may count differently from many at a time."""
        queue = self.queue(8, "legacy", {"events_per_request": 100, "request_time_interval": 300})
        for number in range(5):
            assert queue.enqueue(legacy(f"single-{number}"))

    def all_of_it(self) -> None:
        """All of the above, and the keys that queues share."""
        random.seed(0)  # for the order of the shards
        self.a_life_in_all_its_stages()
        self.what_vwo_refuses()
        self.a_pause()
        self.pushes_of_other_programs()
        self.a_full_queue()
        for wakeup in sweeping.sweep(self.fleet, by="beat"):
            self.fleet.leave_wakeups(wakeup.queue, wakeup.shard, [wakeup.token])
        self.events_since_the_sweep()
        self.fleet.note_listener("worker.example:1")

    # -- the report on it

    def keys(self) -> dict[str, Any]:
        """Every key: type, value, and the time to live in ms, or null."""
        return {
            name.decode(): {"type": kind, "value": value, "ttl_ms": ttl if ttl >= 0 else None}
            for name in sorted(self.client.scan_iter())
            for kind, value in [self._value(name)]
            for ttl in [self.client.pttl(name)]
        }

    def _value(self, name: bytes) -> tuple[str, Any]:
        kind = self.client.type(name).decode()
        if kind == "string":
            return kind, self.client.get(name).decode()
        if kind == "list":
            return kind, [text.decode() for text in self.client.lrange(name, 0, -1)]
        if kind == "set":
            return kind, sorted(text.decode() for text in self.client.smembers(name))
        if kind == "hash":
            found = sorted(self.client.hgetall(name).items())
            return kind, {field.decode(): text.decode() for field, text in found}
        members = self.client.zrange(name, 0, -1, withscores=True)
        return kind, {member.decode(): int(score) for member, score in members}


def told(redis_url: str) -> dict[str, Any]:
    """The imported release's report on this Redis."""
    fleet = Fleet(redis.Redis.from_url(redis_url), "vwo")
    listeners = fleet.listeners()  # first, since a sign of life expires soon
    command = [*COMMAND, "ledger", "--json", "--redis-url", redis_url]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return {
        "version": vwo_celery.__version__,
        "ledger": json.loads(run.stdout),
        "shards": dict(sorted(_shards(fleet))),
        "listeners": listeners,
        "sweeps": sorted(fleet.last_sweeps_ms()),
    }


def _shards(fleet: Fleet) -> Iterator[tuple[str, Any]]:
    for queue, registration in fleet.registrations().readable.items():
        for number in range(registration.shards):
            seen = take_snapshot(fleet.shard(queue, number))
            facts = {fact: getattr(seen, fact) for fact in FACTS}
            facts["batches"] = [
                {fact: getattr(each, fact) for fact in BATCH_FACTS} for each in seen.batches
            ]
            yield seen.shard, facts


def document() -> dict[str, Any]:
    """The data that the imported release stores, and its report on it."""
    with RedisServer() as server, Standin() as standin:
        store = Store(server.url, standin)
        store.all_of_it()
        made_ms = store.fleet.now_ms()
        return {"made_ms": made_ms, "told": told(server.url), "keys": store.keys()}


def as_text(found: dict[str, Any]) -> str:
    """JSON that people can read and compare line by line."""
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Run as the command line says."""
    if sys.argv[1] == "--tell":
        sys.stdout.write(as_text(told(sys.argv[2])))
        return
    path = Path(sys.argv[1])
    if path.is_dir():
        path /= f"stored-{vwo_celery.__version__}.json"
    path.write_text(as_text(document()), "utf-8")


if __name__ == "__main__":
    main()
