"""One queue in forks, threads and greenlets: every event is stored once, every batch is full."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter

import pytest
import redis as redis_py

from tools.producers import (
    KEPT,
    connect,
    numbers,
    snapshot,
    stored,
)
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import IN_REDIS, Receipt

pytestmark = pytest.mark.declared_keys(*KEPT)


def test_a_forked_child_enqueues_on_its_own(redis: redis_py.Redis, redis_url: str) -> None:
    """Parent and children use their own connections and marks: no event is lost or taken for a repeat."""
    queue = connect(redis_url, batch={"events_per_request": 30})
    queue.enqueue({"n": 0})
    children = []
    for child in range(2):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                sent = [queue.enqueue({"n": 1 + 100 * child + i}) for i in range(100)]
                code = 0 if all(sent) else 2
            finally:
                os._exit(code)
        children.append(pid)

    receipts = [queue.enqueue({"n": 201 + i}) for i in range(100)]

    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
    assert receipts == [IN_REDIS] * 100
    assert Counter(stored(redis)) == Counter(numbers(301))
    assert len(redis.keys(producer_of(queue).shards[0].keys.mark("*"))) >= 3


def test_threads_share_a_queue(redis: redis_py.Redis, redis_url: str) -> None:
    """Eight concurrent threads store every event once and fill every batch."""
    queue = connect(redis_url, batch={"events_per_request": 10})
    receipts: list[Receipt] = []

    def enqueue(thread: int) -> None:
        receipts.extend(queue.enqueue({"n": 50 * thread + i}) for i in range(50))

    threads = [threading.Thread(target=enqueue, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert receipts == [IN_REDIS] * 400
    assert Counter(stored(redis)) == Counter(numbers(400))
    assert [batch.events for batch in snapshot(redis).batches] == [10] * 40
    assert snapshot(redis).balanced


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, sys, vwo_celery
from vwo_celery import Destination

queue = vwo_celery.connect(
    Destination(account_id=1, sdk_key="k" * 32, generation="fme"),
    batch_event_data={"events_per_request": 10}, strict=True, redis_url=sys.argv[1],
    enqueue_timeout_seconds=10,
)

def enqueue(greenlet):
    return sum(bool(queue.enqueue({"n": 20 * greenlet + i})) for i in range(20))

jobs = [gevent.spawn(enqueue, greenlet) for greenlet in range(20)]
gevent.joinall(jobs, raise_error=True)
print(sum(job.value for job in jobs))
"""


def test_greenlets_share_a_queue(redis: redis_py.Redis, redis_url: str) -> None:
    """Under gevent, twenty greenlets store each event once."""
    ran = subprocess.run(
        [sys.executable, "-c", GREENLETS, redis_url],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (ran.returncode, ran.stdout.strip()) == (0, "400"), ran.stderr
    assert Counter(stored(redis)) == Counter(numbers(400))
    assert [batch.events for batch in snapshot(redis).batches] == [10] * 40
