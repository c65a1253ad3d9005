"""Half an emoji at the end of a text: delivered, whichever way the event came."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tools.selective_vwo import Delivering, event
from vwo_celery.producing.queue import producer_of
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys("watched", "slots")

ODD = {**event(1), "title": "Gr\u00fc\u00dfe \ud83d"}
AS_SDKS_SEND = json.dumps(ODD).encode()


def track(made: Delivering) -> None:
    """Enqueue it as a dict, as a hook of an SDK does."""
    assert made.queue.enqueue(ODD)


def relay(made: Delivering) -> None:
    """Enqueue it as the bytes of a request, as a relay does."""
    assert made.queue.enqueue(AS_SDKS_SEND)


def push(made: Delivering) -> None:
    """Push it as a program in another language does."""
    assert producer_of(made.queue).register()
    made.worker.fleet.client.lpush(made.shard.keys.open, AS_SDKS_SEND)


@pytest.mark.parametrize("enter", [track, relay, push])
def test_a_truncated_emoji_is_delivered_by_a_fresh_queue(
    redis_url: str, enter: Callable[[Delivering], None]
) -> None:
    """The event is the first of its queue: it reaches VWO as the SDK itself would send it."""
    with Standin() as standin:
        made = Delivering(redis_url, standin)
        enter(made)

        made.deliver()

        assert standin.events == [ODD]
        assert b"\\ud83d" in standin.batches[0].body
        assert not made.state.paused
