"""Copies of settings are bounded and counted, and nothing shows an SDK key."""

from __future__ import annotations

import pytest
import redis as redis_py

from tools.relays import KEY, RelayServer
from tools.settings_files import FME
from tools.waiting import wait_until
from vwo_celery.queue.records.copies import MOST_COPIES
from vwo_celery.relay import counts
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys("settings", "refresh")


def test_queries_without_end_fill_neither_redis_nor_memory(
    relay: RelayServer, redis: redis_py.Redis, vwo: Standin
) -> None:
    """Copies of one account and key are bounded; those in use stay, and everybody gets an answer."""
    relay.get(FME)
    for i in range(MOST_COPIES + 5):
        assert relay.get(f"{FME}&unknown={i}").status == 200
    asked = len(vwo.fetches)
    relay.get(FME)

    keys = redis.keys("vwo:1:settings:*")
    assert [redis.hlen(key) for key in keys] == [MOST_COPIES + 2]
    assert len(vwo.fetches) == asked


def test_nothing_shows_a_key(
    relay: RelayServer, redis: redis_py.Redis, vwo: Standin, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a name in Redis nor a line of the log holds an SDK key."""
    vwo.fail_fetches(503, None)
    relay.get(FME)
    wait_until(lambda: relay.get(FME).status == 200, what="VWO is asked again")

    assert "cannot be fetched: answer 503" in caplog.text
    assert KEY not in caplog.text
    assert not any(KEY.encode() in name for name in redis.keys("*"))


def test_the_relay_counts_what_sdks_get(relay: RelayServer) -> None:
    """Counts tell fresh settings from others."""
    before = counts()["settings"].get("fresh", 0)
    relay.get(FME)

    assert counts()["settings"]["fresh"] == before + 1
