"""An application whose tests freeze time: no call of ours waits for a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun import freeze_time

import vwo_celery
from tools.producers import KEPT, TIMEOUT_SECONDS, connect
from vwo_celery.receipts import SPOOLED
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*KEPT)
Wait = Callable[[vwo_celery.Queue], object]
WAITS: dict[str, Wait] = {
    "flush_events": lambda queue: bool(queue.flush_events(timeout_seconds=0.3)),
    "results": lambda queue: list(queue.results(timeout_seconds=0.3)),
    "drain_spool": lambda queue: bool(queue.drain_spool(timeout_seconds=0.3)),
}


@pytest.mark.parametrize("wait", ["flush_events", "results"])
def test_a_wait_ends_though_time_is_frozen(redis_url: str, wait: str) -> None:
    """A wait for workers that do not run ends at its timeout."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})

    with freeze_time("2012-01-14"):
        assert not WAITS[wait](queue)


def test_a_drain_ends_though_time_is_frozen() -> None:
    """Under frozen time an event is spooled, a drain without Redis ends, and one with it drains."""
    with RedisServer(appendonly=True) as server:
        queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
        server.kill()
        with freeze_time("2012-01-14"):
            assert queue.enqueue({"n": 0}) == SPOOLED
            assert not WAITS["drain_spool"](queue)
            server.start()

            assert queue.drain_spool(timeout_seconds=20)
