"""The relay in an application of one's own: mounted by FastAPI, or beneath a prefix of any ASGI app."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fastapi
import httpx
import pytest

from tools.relays import EVENT, FME, KEY, all_stored, serving, stored
from vwo_celery.errors import SettingsError
from vwo_celery.relay import Relay, relay_app
from vwo_celery.settings import Settings

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)

ACCOUNTS = {888888: [KEY]}
BODY = b'{"ev":[{"d":{"n":1}}]}'


def ask(app: Any, url: str, **given: Any) -> httpx.Response:
    """Ask an app without a server."""

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.post(url, content=BODY, **given)

    return asyncio.run(main())


@contextmanager
def closing(relay: Relay) -> Iterator[Relay]:
    """Close a relay at the end, which no server does here."""
    yield relay
    asyncio.run(relay.aclose())


@pytest.mark.parametrize("mounted_at", ["", "/vwo"])
def test_fastapi_mounts_it(mounted_at: str, redis_url: str) -> None:
    """At the root or beneath a path, beside the application's own routes; a path is no region."""
    app = fastapi.FastAPI()
    app.add_api_route("/own", lambda: {"own": True}, methods=["POST"])
    with closing(relay_app(accounts=ACCOUNTS, redis_url=redis_url)) as relay:
        app.mount(mounted_at, relay)

        assert ask(app, f"{mounted_at}{FME}").status_code == 200
        assert ask(app, f"{mounted_at}/eu01{FME}").status_code == 200
        assert ask(app, f"{mounted_at}/nothing").json()["message"] == "unknown path"
        assert ask(app, "/own").json() == {"own": True}
    assert sorted(destination.region for destination in stored(redis_url)) == ["", "eu01"]


def test_a_prefix_that_the_server_does_not_tell(redis_url: str) -> None:
    """Where an application hands requests on by their path, as with Django, the relay is told it."""
    relay = relay_app(accounts=ACCOUNTS, prefix="/vwo", redis_url=redis_url)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["path"].startswith("/vwo/")
        await relay(scope, receive, send)

    with closing(relay):
        assert ask(app, f"/vwo{FME}").status_code == 200
    (destination,) = stored(redis_url)
    assert destination.region == ""


def test_a_root_path_is_left_out(redis_url: str) -> None:
    """A server that is told its public path (uvicorn --root-path) puts it before each path."""
    relay = relay_app(accounts=ACCOUNTS, redis_url=redis_url)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await relay({**scope, "root_path": "/api", "path": f"/api{scope['path']}"}, receive, send)

    with closing(relay):
        assert ask(app, FME).status_code == 200
        assert ask(app, f"/eu01{FME}").status_code == 200
    assert sorted(destination.region for destination in stored(redis_url)) == ["", "eu01"]


def test_it_needs_accounts(redis_url: str) -> None:
    """An app that others may reach says whose events it takes, or that it takes everybody's."""
    with pytest.raises(SettingsError, match="needs the accounts whose events it takes"):
        relay_app(redis_url=redis_url)
    with pytest.raises(SettingsError, match="accounts names nobody"):
        relay_app(accounts={}, redis_url=redis_url)

    assert relay_app(redis_url=redis_url, everybody=True).access.is_open
    assert not relay_app(redis_url=redis_url, relay_accounts=["1=a"]).access.is_open


@pytest.mark.parametrize("url", ["http://", "http://a b", "https://user@host"])
def test_an_upstream_must_be_a_host(url: str, redis_url: str) -> None:
    """A URL that no destination can have is refused when the relay is made."""
    with pytest.raises(SettingsError, match="relay_upstream"):
        relay_app(accounts=ACCOUNTS, relay_upstream=url, redis_url=redis_url)


def test_a_websocket_is_closed(redis_url: str) -> None:
    """Beneath a server that knows websockets, one is not opened."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    relay = relay_app(accounts=ACCOUNTS, redis_url=redis_url)
    asyncio.run(relay({"type": "websocket", "path": "/"}, receive, send))

    assert [message["type"] for message in sent] == ["websocket.close"]


def test_the_body_is_read_before_anything_waits(redis_url: str) -> None:
    """A server may hand out the end of the connection instead of the body, once the client has left."""
    relay = relay_app(accounts=ACCOUNTS, redis_url=redis_url)
    is_there = True

    async def receive() -> Any:
        if not is_there:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b'{"d":{}}', "more_body": False}

    async def send(message: Any) -> None:
        pass

    async def main() -> None:
        nonlocal is_there
        path, _, query = EVENT.partition("?")
        scope = {
            "type": "http", "method": "POST", "path": path, "query_string": query.encode(), "headers": [],
        }  # fmt: skip
        serving = asyncio.ensure_future(relay(scope, receive, send))
        await asyncio.sleep(0)  # its first step; then the client is gone
        is_there = False
        await serving
        await relay.aclose()

    asyncio.run(main())

    assert all_stored(redis_url) == [b'{"d":{}}']


def test_a_fault_of_ours_is_no_success(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw is answered 503, in JSON, and logged without the request."""
    relay = relay_app(accounts=ACCOUNTS, redis_url=redis_url)
    monkeypatch.setattr("vwo_celery.relay.app.text_of", lambda request: 1 // 0)
    settings = Settings.load(redis_url=redis_url)
    with serving(relay, settings) as server:
        answer = server.post(FME, BODY)

    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert b"fault" in answer.body
