"""A worker whose Redis user lacks a right ends when it starts, and its log says what to run."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import redis as redis_py

from tools.installation import Installation, event
from tools.waiting import wait_until

USER = "narrow"


@pytest.fixture
def narrow(redis: redis_py.Redis, installation: Installation) -> Iterator[str]:
    """A user without COPY; the URL with its name."""
    redis.execute_command("ACL", "SETUSER", USER, "reset", "on", ">p", "~*", "&*", "+@all", "-copy")
    yield installation.redis_url.replace("://", f"://{USER}:p@", 1)
    redis.execute_command("ACL", "DELUSER", USER)


def test_a_worker_without_a_right_ends_with_the_line_to_run(
    installation: Installation, redis: redis_py.Redis, narrow: str
) -> None:
    """The worker ends with an error; once the line in its log was run, it starts and delivers."""
    queue = installation.connect(events_per_request=1)
    installation.env |= {
        "VWO_CELERY_REDIS_URL": narrow,
        "VWO_CELERY_BROKER_URL": installation.redis_url,
    }
    refused = installation.start("worker", "--pool=solo", name="refused")

    assert refused.wait(30) == 1
    (line,) = re.findall(r"Run: (ACL SETUSER .*)", refused.log())
    redis.execute_command(*line.split())
    installation.worker("--pool=solo", name="served")
    queue.enqueue(event("e"))

    assert "may not run COPY, which a worker needs" in refused.log()
    wait_until(lambda: installation.snapshot(queue).delivered == 1, 20)
    assert installation.delivered() == ["e"]
