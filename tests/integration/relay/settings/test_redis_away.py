"""SDKs get their settings through the relay while Redis is away or full: from VWO and from memory."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
import redis as redis_py

from tools.relays import ACCOUNT, KEY, LONGEST_WAIT_SECONDS, RelayServer, relaying
from tools.settings_files import FME, LEGACY, PULL, make_older, together
from tools.waiting import wait_until
from vwo_celery.queue.records.copies import FRESH_MS
from vwo_celery.relay import counts
from vwo_celery.testing import RedisServer, Standin, free_port

pytestmark = pytest.mark.declared_keys("settings", "refresh")


def test_without_redis_vwo_is_asked_and_memory_serves(documents: dict[str, Any]) -> None:
    """While Redis is away SDKs get settings from VWO, and then from this process' memory."""
    away = f"redis://127.0.0.1:{free_port()}/0"
    with (
        Standin(accounts={ACCOUNT: KEY}, **documents) as vwo,
        relaying(away, relay_upstream=vwo.url) as relay,
    ):
        first = relay.get(FME)
        vwo.stop()
        second = relay.get(FME)

    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body


def test_without_redis_a_relay_makes_one_request(documents: dict[str, Any]) -> None:
    """While Redis is away SDKs that start at once share one request of their relay."""
    away = f"redis://127.0.0.1:{free_port()}/0"
    asked, may_answer = threading.Semaphore(0), threading.Event()

    def hold(_: Any) -> None:
        asked.release()
        may_answer.wait(LONGEST_WAIT_SECONDS)

    with (
        Standin(fetch_faults=hold, **documents) as vwo,
        relaying(away, relay_upstream=vwo.url) as relay,
    ):
        threads = [threading.Thread(target=together, args=([relay] * 2,)) for _ in range(2)]
        threads[0].start()
        assert asked.acquire(timeout=LONGEST_WAIT_SECONDS)
        before = counts()["requests"]
        threads[1].start()
        wait_until(lambda: counts()["requests"] >= before + 2, what="others ask, too")
        relay.get("/healthz")  # a step of the loop later
        may_answer.set()
        for thread in threads:
            thread.join()

        assert len(vwo.fetches) == 1


def test_redis_is_used_again(documents: dict[str, Any]) -> None:
    """A relay that lost Redis keeps its copies there once it is back."""
    with (
        RedisServer() as server,
        Standin(**documents) as vwo,
        relaying(server.url, relay_upstream=vwo.url) as relay,
    ):
        server.stop()
        assert relay.get(FME).status == 200
        server.start()
        wait_until(lambda: bool(_kept(relay, server)), what="a copy is in Redis")


def test_a_full_redis_neither_hides_what_memory_has_nor_sends_each_to_vwo(
    documents: dict[str, Any],
) -> None:
    """Where Redis takes no copy, its old one is not preferred to memory's, and VWO is asked seldom."""
    changed = {**documents["fme_settings"], "version": 77}
    with RedisServer() as server, Standin(**documents) as vwo:
        with relaying(server.url, relay_upstream=vwo.url) as relay:
            relay.get(FME)
        vwo.fme_settings = changed
        client: redis_py.Redis = redis_py.Redis.from_url(server.url)
        make_older(client, vwo, 2 * FRESH_MS)
        client.config_set("maxmemory", 1)
        client.close()
        with relaying(server.url, relay_upstream=vwo.url) as relay:
            answers = [relay.get(FME) for _ in range(3)]
            asked = len(vwo.fetches)
            vwo.stop()
            wait_until(
                lambda: answers.append(relay.get(FME)) or "age" in answers[-1].headers,
                what="a copy that is not sure",
            )

    assert [json.loads(answer.body) for answer in answers] == [changed] * len(answers)
    assert asked == 2


def _kept(relay: RelayServer, server: RedisServer) -> list[bytes]:
    relay.get(LEGACY)
    relay.get(PULL)
    client: redis_py.Redis = redis_py.Redis.from_url(server.url)
    try:
        return client.keys("vwo:1:settings:*")
    finally:
        client.close()
