"""The relay while Redis fails: what was answered 200 is stored, once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import pytest

from tools.relays import EVENT, LEGACY, all_stored, read_answer, relaying, request
from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until
from vwo_celery.relay import relay_app
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)

CLIENTS, EACH = 8, 150


def test_outages_lose_no_accepted_event(redis_server: RedisServer, redis_url: str) -> None:
    """Connections to Redis are reset, silent, and work again, while clients go on sending."""
    accepted: list[bytes] = []
    with (
        TcpProxy(redis_server.port) as proxy,
        relaying(proxy.url(), relay_events_per_request=37) as relay,
    ):

        def send(client: int) -> None:
            with relay.connect() as sock:
                for number in range(EACH):
                    event = b'{"d":{"n":%d}}' % (client * EACH + number)
                    sock.sendall(request(EVENT, event))
                    if read_answer(sock).status == 200:
                        accepted.append(event)

        threads = [threading.Thread(target=send, args=(client,)) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        changes = (proxy.reset, proxy.pass_through, proxy.blackhole, proxy.pass_through)
        for step, change in enumerate(changes, 1):
            wait_until(lambda: len(accepted) > 200 * step, what="events")  # noqa: B023
            change()
        for thread in threads:
            thread.join()
        wait_until(lambda: len(all_stored(redis_url)) >= len(accepted), what="the spool's events")

    stored = Counter(all_stored(redis_url))
    assert len(accepted) == CLIENTS * EACH
    assert stored == Counter(accepted)


def test_a_server_that_gives_up_leaves_no_answer_of_success_unstored(
    redis_server: RedisServer, redis_url: str
) -> None:
    """Requests that are still waiting when the time to end is over are stored by a thread."""
    with TcpProxy(redis_server.port) as proxy:
        with relaying(proxy.url(), enqueue_timeout_seconds=20.0) as relay:
            assert relay.post(LEGACY, b'{"ev":[{"n":0}]}').status == 200
            proxy.delay(60)
            relay.server.config.timeout_graceful_shutdown = 0
            sock = relay.connect()
            sock.sendall(request(LEGACY, b'{"ev":[{"n":1}]}'))
            wait_until(lambda: relay.server.server_state.tasks, what="the request")
            relay.server.should_exit = True
            wait_until(lambda: not relay.server.server_state.tasks, what="its end")
            proxy.pass_through()
        sock.close()

        wait_until(lambda: len(all_stored(redis_url)) == 2, what="the event")
    assert sorted(all_stored(redis_url)) == [b'{"n":0}', b'{"n":1}']


def test_the_relay_beneath_another_event_loop_each_time(redis_url: str) -> None:
    """An app that is served again, in a new event loop, opens its connections anew."""
    relay = relay_app(everybody=True, redis_url=redis_url)
    path, _, query = EVENT.partition("?")
    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": query.encode(), "headers": [],
    }  # fmt: skip
    statuses = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b'{"d":{}}'}

    async def send(message: dict[str, object]) -> None:
        if "status" in message:
            statuses.append(message["status"])

    for _ in range(3):
        asyncio.run(relay(scope, receive, send))  # type: ignore[arg-type]
    asyncio.run(relay.aclose())

    assert statuses == [200] * 3
    assert len(all_stored(redis_url)) == 3
