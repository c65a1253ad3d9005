"""A worker's task for a queue that a later release registered: handed on, and left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery

import vwo_celery
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.celery.options import DELIVER
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.words.registration import NEWEST_VERSION

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released", "workers")


def test_a_task_for_a_later_releases_queue_is_handed_on(
    queues: Queues, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The message goes to another worker, which may be newer; nothing is claimed, the log names the
    version, and no operator is told that fleets share a broker.
    """
    app: Any = Celery("project", broker="memory://", set_as_current=False)
    vwo_celery.setup(app, redis_url=redis_url)
    app.finalize()
    queue = queues.add()
    queues.fill(queue, 5)
    listed = queues.fleet.keys.queues
    stored = json.loads(queues.client.hget(listed, queue.name))
    later = json.dumps({**stored, "version": NEWEST_VERSION + 1})
    queues.client.hset(listed, queue.name, later)

    done = app.tasks[DELIVER].apply(args=(queue.name, 0, "token"))

    assert "passed on" in done.get()["why"]
    assert "a later one wrote it; its events are left to workers that can read it" in caplog.text
    assert queues.fleet.last_misdirected() == (0, "")
    (batch,) = take_snapshot(queues.shard(queue)).batches
    assert (batch.state, batch.attempt) == ("ready", 0)
