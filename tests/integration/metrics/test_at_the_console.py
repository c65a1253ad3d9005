"""`/metrics` and `/api/v1/scale`, as the console answers them."""

from __future__ import annotations

import msgspec
import pytest

from integration.metrics.test_metrics import fleet_in_trouble, samples_of, value
from tools.queue_states import Queues
from tools.visiting import Browser
from vwo_celery.operating.looks.lanes import view_lanes
from vwo_celery.testing import RedisServer

__all__ = ["fleet_in_trouble"]
pytestmark = pytest.mark.declared_keys(
    "watched", "open", "batch", "wakeups", "slots", "ready", "info", "leases", "dead"
)


def test_it_answers_while_redis_is_away() -> None:
    """With Redis stopped a scrape is answered all the same, says so, and tells no number of before."""
    with RedisServer() as server:
        queues = Queues(server.url)
        queues.fill(queues.add(), 3)
        browser = Browser(queues.settings, "viewer")
        before = browser.get("metrics")
    after = browser.get("metrics")

    assert (before.status, after.status) == (200, 200)
    assert value(before.body.decode(), "redis_up") == 1
    assert value(after.body.decode(), "redis_up") == 0
    assert len(samples_of(after.body.decode())) == 3


def test_the_lanes_are_those_of_the_metrics(fleet_in_trouble: Queues) -> None:
    """An autoscaler is told the same number by the document, by the metric and in Python."""
    browser = Browser(fleet_in_trouble.settings, "viewer")

    document = msgspec.json.decode(browser.get("api/v1/scale").body)
    text = browser.get("metrics").body.decode()

    assert document == msgspec.to_builtins(view_lanes(fleet_in_trouble.fleet))
    assert value(text, "lanes_wanted") == document["lanes_wanted"]
    assert value(text, "lanes_busy") == document["lanes_busy"]
    assert value(text, "lanes") == document["lanes_total"]
    assert value(text, "lanes_most") == document["lanes_most"]
