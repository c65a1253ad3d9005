"""Names, reasons, answers and events of strangers forge no line in a worker's log."""

from __future__ import annotations

import json

import msgspec
import pytest
import redis as redis_py

from tools.hostile import HOSTILE, harm
from tools.installation import Installation, event
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of
from vwo_celery.testing import Fault

ODD = f"odd-{HOSTILE}"
#: A line of Celery's at DEBUG with the repr of a task's arguments, one line with its unseen letters.
_CELERYS_OWN = "TaskPool: Apply"


@pytest.mark.declared_keys("*")
def test_no_text_forges_a_line_in_a_workers_log(
    installation: Installation, redis: redis_py.Redis
) -> None:
    """Hostile queue names in every list that a worker reads, VWO's answers, and events in tracebacks.

    The worker names each of them, delivers what it can, and writes nothing that a terminal obeys.
    """
    queue = installation.connect(
        events_per_request=1, request_time_interval=60, flush_callback="delivery_app:raise_event"
    )
    producer = producer_of(queue)
    producer.register()
    fleet, keys = producer.fleet, producer.fleet.keys
    stored = redis.hget(keys.queues, queue.name)
    assert isinstance(stored, bytes)
    callback = stored.replace(b"delivery_app:raise_event", json.dumps(HOSTILE)[1:-1].encode())
    redis.hset(keys.queues, mapping={f"callback-{ODD}": callback, f"unreadable-{ODD}": HOSTILE})
    for name in ("callback", "unreadable", "stray"):
        shard = fleet.shard(f"{name}-{ODD}", 0)
        redis.lpush(shard.keys.open, json.dumps(event("x")))
        redis.sadd(keys.watched, shard.keys.name)
    redis.sadd(keys.watched, HOSTILE, f"{HOSTILE}:0")
    for text in (f"stray-{ODD}", f"unreadable-{ODD}", f"callback-{ODD}"):
        redis.lpush(keys.wakeups, msgspec.json.encode([text, 0, HOSTILE]))
    redis.lpush(keys.wakeups, HOSTILE)
    answer = json.dumps({"error": HOSTILE}).encode()
    installation.standin.fail(*[Fault(status=500, body=answer)] * 6)

    worker = installation.worker("--loglevel=DEBUG")
    queue.enqueue(event(HOSTILE))
    wait_until(lambda: HOSTILE in installation.delivered(), 30)
    worker.wait_for_log("RuntimeError: name")
    worker.wait_for_log("VWO has not accepted queue")
    for name in ("callback", "unreadable", "stray"):
        worker.wait_for_log(f"{name}-odd-name")

    lines = [line for line in worker.log().split("\n") if _CELERYS_OWN not in line]
    assert harm("\n".join(lines)) == ""
