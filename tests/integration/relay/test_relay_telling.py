"""What relays do is known to the whole fleet: `status`, `doctor` and `health` tell of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tools.nginx import fronting
from tools.relays import (
    ACCOUNT,
    EVENT,
    FME,
    KEY,
    LEGACY,
    RelayClient,
    RelayServer,
    all_stored,
    relaying,
    request,
)
from tools.waiting import wait_until
from vwo_celery.connections import open_client
from vwo_celery.operating.looks.relays import RelayView, view_relays
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records import relays as records
from vwo_celery.relay.telling import cards
from vwo_celery.relay.telling.counts import counted
from vwo_celery.testing import RedisServer, free_port

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)

ONE = b'{"ev":[{"u":"A"}]}'
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards are written more often than by default."""
    monkeypatch.setattr(cards, "TELL_SECONDS", 0.02)


def views(redis_url: str) -> list[RelayView]:
    """What relays told."""
    client = open_client(redis_url, timeout_seconds=5.0)
    try:
        return view_relays(Fleet(client, "vwo"))
    finally:
        client.close()


def told(redis_url: str, **wanted: Any) -> RelayView:
    """The card of the one relay, once it tells what is wanted."""

    def is_told() -> bool:
        return any(
            all(getattr(view.card.counts, name) == value for name, value in wanted.items())
            for view in views(redis_url)
        )

    wait_until(is_told, what=f"the relay tells {wanted}")
    (view,) = views(redis_url)
    return view


def test_a_relay_tells_what_it_does(redis_url: str, run: Run) -> None:
    """Requests, stored events and refusals by reason stand in its card, in `status`, and in `health`."""
    with relaying(redis_url, accounts={ACCOUNT: [KEY]}) as relay:
        relay.post(LEGACY, ONE)
        relay.post(FME, b'{"ev":[{"d":{}},5]}')
        relay.post(FME, b"{")
        relay.post(FME.replace(KEY, "another"), b'{"ev":[]}')
        view = told(redis_url, requests=4)
        status, health = run("status"), run("health", "--json")
        document = json.loads(run("status", "--json").output)

    assert view.is_running
    assert view.card.has_spool
    assert view.card.counts == view.card.recent
    assert view.card.counts == records.RelayCounts(
        requests=4, stored=2, refused={"access": 1, "body": 1}, lost={"not_an_object": 1}
    )
    assert (
        "1 relay process: 4 requests, 2 events stored, refused 2 (access 1, body 1)"
        in status.output
    )
    assert json.loads(health.output)["relays"] == 1
    assert document["relays"][0]["card"]["counts"]["refused"] == {"access": 1, "body": 1}
    assert KEY not in status.output + json.dumps(document)


def test_a_relay_that_ends_is_none_that_runs(redis_url: str, run: Run) -> None:
    """Its last card stays for an hour, so that what it met can still be seen."""
    with relaying(redis_url, accounts={ACCOUNT: [KEY]}) as relay:
        relay.post(LEGACY, ONE)

    (view,) = views(redis_url)
    assert (view.is_running, view.card.has_ended) == (False, True)
    assert view.card.counts.stored == 1
    assert "relay process" not in run("status").output
    assert json.loads(run("health", "--json").output)["relays"] == 0


def test_a_relay_that_was_killed_is_none_that_runs(redis_url: str) -> None:
    """It is silent, and counts as gone after a while."""
    with relaying(redis_url) as relay:
        relay.post(LEGACY, ONE)
        told(redis_url, requests=1)
    client = open_client(redis_url, timeout_seconds=5.0)
    fleet = Fleet(client, "vwo")
    ((name, (_, card)),) = records.read_relay_cards(fleet).items()
    records.write_relay_card(fleet, name, cards.RelayCard(counts=card.counts))
    client.zincrby(fleet.keys.relays, -1000 * records.GONE_SECONDS, name)

    (view,) = view_relays(fleet)
    client.close()
    assert not view.is_running


def leave(relay: RelayServer, head: bytes) -> None:
    """Send a request and close at once, as PHP's SDK does."""
    with relay.connect() as sock:
        sock.sendall(head)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset


@pytest.mark.parametrize(
    ("headers", "version", "is_proxied"),
    [
        ({}, b"HTTP/1.1", False),
        ({"VWO-X-Forwarded-For": "203.0.113.7"}, b"HTTP/1.1", False),
        ({"X-Forwarded-For": "203.0.113.7"}, b"HTTP/1.1", True),
        ({"Via": "1.1 edge"}, b"HTTP/1.1", True),
        ({}, b"HTTP/1.0", True),
    ],
)
def test_clients_that_leave_behind_a_proxy_count_apart(
    headers: dict[str, str],
    version: bytes,
    is_proxied: bool,
    redis_server: RedisServer,
    redis_url: str,
) -> None:
    """PHP leaves by itself; a proxy that leaves loses events, and nginx has a setting for that."""
    before = (counted.left, counted.left_behind_proxy)
    with relaying(redis_url, enqueue_timeout_seconds=60) as relay:
        relay.post(EVENT, b'{"d":{}}')
        redis_server.pause()
        try:
            leave(relay, request(EVENT, b'{"d":{}}', headers).replace(b"HTTP/1.1", version))
            wait_until(lambda: counted.left > before[0], what="the client has left")
        finally:
            redis_server.resume()

    assert (counted.left, counted.left_behind_proxy) == (before[0] + 1, before[1] + is_proxied)


def leave_once_read(nginx: RelayClient, body: bytes) -> None:
    """Send a request through nginx, and close once the relay has read it."""
    begun = counted.requests
    with nginx.connect() as sock:
        sock.sendall(request(EVENT, body))
        wait_until(lambda: counted.requests > begun, what="nginx has handed the request on")


WAITS = "proxy_ignore_client_abort on;"


@pytest.mark.parametrize("is_default", [True, False])
def test_nginx_with_its_defaults_is_noticed(
    is_default: bool, redis_server: RedisServer, redis_url: str, tmp_path: Path
) -> None:
    """A real nginx gives up the requests of clients that leave; with the setting that is named, none."""
    before, clients = counted.left_behind_proxy, 3
    change = (lambda text: text.replace(WAITS, "")) if is_default else str
    with (
        relaying(redis_url, enqueue_timeout_seconds=60) as relay,
        fronting(relay.port, folder=tmp_path, change=change) as nginx,
    ):
        nginx.post(EVENT, b'{"d":{"n":0}}')
        redis_server.pause()
        try:
            for number in range(clients):
                leave_once_read(nginx, b'{"d":{"n":%d}}' % (1 + number))
            if is_default:
                wait_until(
                    lambda: counted.left_behind_proxy - before == clients, what="nginx gives up"
                )
        finally:
            redis_server.resume()
        wait_until(lambda: len(all_stored(redis_url)) == 1 + clients, what="all are stored")

    assert counted.left_behind_proxy - before == clients * is_default


def test_a_request_that_breaks_off_counts_apart(redis_url: str) -> None:
    """Nothing of it is stored, so it is no request whose answer was missed."""
    before = (counted.left, counted.cut)
    with relaying(redis_url) as relay:
        leave(relay, request(EVENT, b'{"d":{}}')[:-1])
        wait_until(lambda: counted.cut > before[1], what="it is counted")

    assert (counted.left, counted.cut) == (before[0], before[1] + 1)


def test_a_relay_without_redis_serves_all_the_same(tmp_path: Any) -> None:
    """Cards are missed while Redis is away; requests and the end do not wait for them."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    with relaying(url, spool_dir=str(tmp_path)) as relay:
        assert relay.post(LEGACY, ONE).status == 200


def test_a_card_of_a_later_release_is_left_out(redis_url: str) -> None:
    """What this release cannot read hides no other."""
    with relaying(redis_url):
        wait_until(lambda: len(views(redis_url)) == 1, what="the relay tells of itself")
    client = open_client(redis_url, timeout_seconds=5.0)
    fleet = Fleet(client, "vwo")
    client.zadd(fleet.keys.relays, {"later": fleet.now_ms()})
    client.hset(fleet.keys.relay_cards, "later", "[]")
    client.zadd(fleet.keys.relays, {"without": fleet.now_ms()})
    client.close()

    assert len(views(redis_url)) == 1
