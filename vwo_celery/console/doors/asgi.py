"""The console as an ASGI app; each answer is made in a thread, since it may wait for Redis.

Nothing to lose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from vwo_celery.console.shared.exchange import (
    MOST_BODY_BYTES,
    WITHOUT_LENGTH,
    Request,
    Response,
)

#: Answers that are made at once; while Redis hangs, a probe must still get its own.
MOST_ANSWERS: Final = 64
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]


def asgi_app(respond: Callable[[Request], Response]) -> App:
    """An ASGI app that answers with *respond*, below whatever path it is mounted at."""
    threads = ThreadPoolExecutor(MOST_ANSWERS, "vwo-celery-console")

    async def app(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            request = request_of(scope, await _body(receive))
            response = await asyncio.get_running_loop().run_in_executor(threads, respond, request)
            await _send(response, send, head=request.method == "HEAD")

    return app


def below(prefix: str, app: App) -> App:
    """The same app below a path, which a proxy may have taken away or not."""
    if not prefix:
        return app

    async def served(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        await app(
            {**scope, "root_path": prefix} if scope["type"] == "http" else scope, receive, send
        )

    return served


async def _live(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> bytes:
    body = b""
    while len(body) <= MOST_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    return body[: MOST_BODY_BYTES + 1]


def request_of(scope: Mapping[str, Any], body: bytes) -> Request:
    """The request of an ASGI scope; `path` has the mount's own path in it, or not, as servers differ."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    prefix = scope.get("root_path", "").rstrip("/")
    path = scope["path"]
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        path = path[len(prefix) :]
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=path,
        prefix=prefix,
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
        remote=client[0] if client else "",
        scheme=scope.get("scheme", "http"),
        http_version=scope.get("http_version", ""),
        native=scope,
    )


async def _send(response: Response, send: Send, *, head: bool) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers]
    if response.status not in WITHOUT_LENGTH:
        headers.append((b"content-length", str(len(response.body)).encode()))
    start = {"type": "http.response.start", "status": response.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": b"" if head else response.body})
