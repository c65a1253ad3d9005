"""The relay in front of an application of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import fastapi
import httpx
import pytest

from tools.relays import EVENT, FME, KEY, all_stored, relaying, request, serving, stored
from tools.waiting import wait_until
from vwo_celery.errors import SettingsError
from vwo_celery.relay import beside, relay_app
from vwo_celery.relay.app import Message, Receive, Scope, Send
from vwo_celery.settings import Settings

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)

ACCOUNTS = {888888: [KEY]}
BODY = b'{"ev":[{"d":{"n":1}}]}'
CLIENTS = 60


def site_with_middleware() -> fastapi.FastAPI:
    """An application with a middleware that looks something up before it hands a request on."""
    site = fastapi.FastAPI()

    @site.middleware("http")
    async def look_up(
        request: fastapi.Request, go_on: Callable[[Any], Awaitable[Any]]
    ) -> fastapi.Response:
        await asyncio.to_thread(len, "a look-up")
        response: fastapi.Response = await go_on(request)
        return response

    site.add_api_route("/own", lambda: {"own": True}, methods=["POST"])
    return site


def test_clients_that_close_at_once_are_stored_whatever_middleware_there_is(redis_url: str) -> None:
    """60 of 60 with a middleware that awaits; mounted beneath it, the relay would see no body."""
    app = beside(
        site_with_middleware(), relay_app(accounts=ACCOUNTS, prefix="/vwo", redis_url=redis_url)
    )
    with serving(app, Settings.load(redis_url=redis_url)) as server:
        for number in range(CLIENTS):
            with server.connect() as sock:
                event = request(f"/vwo{EVENT}", b'{"d":{"n":%d}}' % number)
                sock.sendall(event + b"Connection: close\r\n\r\n" * (number % 2))
        wait_until(lambda: len(all_stored(redis_url)) == CLIENTS, what="all events")
        assert server.post("/own", b"").body == b'{"own":true}'


def test_what_is_beneath_the_prefix_is_the_relays(redis_url: str) -> None:
    """A path is no region; other paths, also those that only begin alike, are the application's."""
    relay = relay_app(accounts=ACCOUNTS, prefix="/vwo/", redis_url=redis_url)
    app = beside(site_with_middleware(), relay)

    async def under_root(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/api", "path": f"/api{scope['path']}"}, receive, send)

    async def main() -> None:
        for each in (app, under_root):
            transport = httpx.ASGITransport(each)
            async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
                assert (await client.post(f"/vwo{FME}", content=BODY)).status_code == 200
                assert (await client.post(f"/vwo/eu01{FME}", content=BODY)).status_code == 200
                assert (await client.post("/vwo/no")).json()["message"] == "unknown path"
                assert (await client.post("/vwoown")).json() == {"detail": "Not Found"}
        await relay.aclose()

    asyncio.run(main())

    assert sorted(destination.region for destination in stored(redis_url)) == ["", "eu01"]


def follow(app: Any) -> list[str]:
    """Start and end an app as a server does; returns what it answered, or the error's text."""
    asked = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    answered: list[str] = []

    async def receive() -> Message:
        return asked.pop(0)

    async def send(message: Message) -> None:
        answered.append(message["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))
    return answered


def test_the_application_is_told_when_the_server_starts_and_ends(redis_url: str) -> None:
    """Its own lifespan runs, which no mounted application's would."""
    told: list[str] = []

    @asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        told.append("start")
        yield
        told.append("end")

    site = fastapi.FastAPI(lifespan=lifespan)

    answered = follow(
        beside(site, relay_app(accounts=ACCOUNTS, prefix="/vwo", redis_url=redis_url))
    )

    assert told == ["start", "end"]
    assert answered == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_the_relay_is_told_where_the_application_knows_no_such_thing(redis_url: str) -> None:
    """Django raises for it; the server gets the relay's answers."""

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("only HTTP")

    answered = follow(
        beside(site, relay_app(accounts=ACCOUNTS, prefix="/vwo", redis_url=redis_url))
    )

    assert answered == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_an_application_that_fails_to_start_is_not_hidden(redis_url: str) -> None:
    """What it answered counts, also where it fails afterwards."""

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise RuntimeError("no database")

    with pytest.raises(RuntimeError, match="no database"):
        follow(beside(site, relay_app(accounts=ACCOUNTS, prefix="/vwo", redis_url=redis_url)))


@pytest.mark.parametrize("prefix", ["vwo", "http://vwo", "/a b", "/a?b"])
def test_a_prefix_is_a_path(prefix: str, redis_url: str) -> None:
    """Another text would never match, and every request would be answered 404."""
    with pytest.raises(SettingsError, match='prefix must be a path such as "/vwo"'):
        relay_app(accounts=ACCOUNTS, prefix=prefix, redis_url=redis_url)


def test_a_relay_beside_another_application_has_a_prefix(redis_url: str) -> None:
    """Without one the application would never be asked."""
    with pytest.raises(SettingsError, match="needs the path that is its own"):
        beside(fastapi.FastAPI(), relay_app(accounts=ACCOUNTS, redis_url=redis_url))


def test_a_path_that_looks_like_no_region_is_doubted(
    redis_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A relay that was not told its prefix takes it for a region: the log says so."""
    with relaying(redis_url) as relay:
        assert relay.post(f"/eu01{FME}", BODY).status == 200
        assert "region" not in capfd.readouterr().err
        assert relay.post(f"/vwo{FME}", BODY).status == 200
        told = capfd.readouterr().err

    assert "path /vwo, which is taken for the name of a region" in told
    assert 'relay_app(prefix="/vwo")' in told
