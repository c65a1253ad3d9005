"""Results: a process that listens learns what became of each batch."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis as redis_py
from msgspec.structs import replace

import vwo_celery
from tools.producers import BATCH, DESTINATION, KEPT, connect, worker_fleet, worker_shards
from tools.waiting import wait_until
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.queue.work.results import result_text
from vwo_celery.queue.work.sweeping import sweep_shard
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys(*KEPT)
EVENT = {
    "d": {
        "msgId": "A-1", "visId": "A" * 32, "sessionId": 1_795_307_390,
        "event": {"props": {}, "name": "purchase", "time": 1_795_307_390_500},
    }
}  # fmt: skip


def listen(queue: vwo_celery.Queue, found: list[Any]) -> threading.Thread:
    """A thread that keeps the queue's first result; it is subscribed when the function returns."""
    thread = threading.Thread(target=lambda: found.append(next(queue.results(10), None)))
    thread.start()
    (shard,) = worker_shards(queue)
    wait_until(
        lambda: shard.client.hexists(shard.keys.meta, "results_until"),
        what="word of interest",
    )
    return thread


@pytest.mark.parametrize(("status", "error"), [(200, None), (503, "503")])
def test_results_tell_what_became_of_events(
    redis: redis_py.Redis, redis_url: str, status: int, error: str | None
) -> None:
    """results gives each batch's error and events to the process that listens."""
    with Standin(faults=[] if status == 200 else [status]) as standin:
        destination = replace(DESTINATION, base_url=standin.url)
        queue = vwo_celery.connect(
            destination, batch_event_data=BATCH, redis_url=redis_url, allowed_hosts=[standin.netloc]
        )
        queue.enqueue(EVENT)
        found: list[Any] = []
        listener = listen(queue, found)
        worker = Worker(worker_fleet(queue), queue.settings, lambda wakeup: None)
        (wakeup,) = sweep_shard(worker_shards(queue)[0], force=True)

        deliver(worker, wakeup)

        listener.join(10)
        ((told, events),) = found
        assert events == [EVENT]
        assert (told is None) if error is None else (error in told)


def test_a_listener_that_redis_cuts_off_listens_again(
    redis: redis_py.Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A listener that Redis cut off misses what came meanwhile, and hears what comes later."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})
    fleet, channel = worker_fleet(queue), f"vwo:1:results:{queue.name}"
    results = queue.results(timeout_seconds=20)
    found: list[Any] = []
    listener = threading.Thread(target=lambda: found.extend(next(results) for _ in range(2)))
    listener.start()
    wait_until(lambda: _listeners(redis, channel) == 1, what="a listener")
    fleet.publish_result(queue.name, result_text(None, [b'{"n":1}']))
    cut_off = _subscribed(redis)

    redis.client_kill_filter(_type="pubsub")
    # Redis frees a client that it killed a little later, and counts it until then.
    wait_until(lambda: not cut_off & _subscribed(redis), what="the end of the listener")
    wait_until(lambda: _listeners(redis, channel) == 1, what="the listener again")
    fleet.publish_result(queue.name, result_text(None, [b'{"n":2}']))

    listener.join(20)
    assert found == [(None, [{"n": 1}]), (None, [{"n": 2}])]
    assert "listens again" in caplog.text


def _subscribed(redis: redis_py.Redis) -> set[str]:
    return {client["id"] for client in redis.client_list(_type="pubsub")}


def _listeners(redis: redis_py.Redis, channel: str) -> int:
    return int(redis.pubsub_numsub(channel)[0][1])


def test_results_end_after_silence(redis: redis_py.Redis, redis_url: str) -> None:
    """results ends after the given time of silence."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})

    assert list(queue.results(timeout_seconds=0.2)) == []
