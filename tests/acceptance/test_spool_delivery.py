"""Events that waited on a host's disk reach VWO soon, once, and in order."""

from __future__ import annotations

import os
import signal

from tools.installation import Installation, event
from tools.waiting import wait_until
from vwo_celery.receipts import SPOOLED
from vwo_celery.testing import RedisServer

NAMES = [f"e{number}" for number in range(250)]


def _spool_and_die(installation: Installation) -> None:
    """Enqueue in another process while Redis is silent, and kill that process."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            settings = {"enqueue_timeout_seconds": 0.2}
            queue = installation.connect_with(
                settings, events_per_request=100, request_time_interval=600
            )
            receipts = queue.enqueue_many([event(name) for name in NAMES])
            if receipts == [SPOOLED] * len(NAMES):
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_a_worker_drains_what_an_application_left(
    installation: Installation, redis_server: RedisServer
) -> None:
    """If an application is gone, the worker of its host drains its spool; neither size nor age
    delays the last batch.
    """
    redis_server.pause()
    _spool_and_die(installation)
    redis_server.resume()

    installation.worker("--pool=solo")

    wait_until(lambda: len(installation.delivered()) >= len(NAMES), 20)
    assert installation.delivered() == NAMES
    queue = installation.connect(events_per_request=100, request_time_interval=600)
    assert [len(batch.events) for batch in installation.standin.batches] == [100, 100, 50]
    assert installation.snapshot(queue).balanced
    assert queue.spooled() == 0
