"""Two bare ASGI apps that store each body: by one EVALSHA a request, or all that wait by one.

Served by `uvicorn relay_floor:one` and `uvicorn relay_floor:gather`; REDIS_URL names the server. They
parse nothing, check nothing, and lose what Redis does not take: the floor that the relay stands on.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import redis.asyncio
from redis.exceptions import NoScriptError

_TEXT = "for i = 1, #ARGV do redis.call('LPUSH', KEYS[1], ARGV[i]) end return #ARGV"
_client: Any = redis.asyncio.Redis.from_url(os.environ.get("REDIS_URL", ""), max_connections=32)
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"20")]
_waiting: list[tuple[bytes, asyncio.Future[None]]] = []
_sha, _tasks = "", set()


async def one(scope: Any, receive: Any, send: Any) -> None:
    """One EVALSHA a request."""
    if scope["type"] == "http":
        await _store(await _body(receive))
        await _answer(send)


async def gather(scope: Any, receive: Any, send: Any) -> None:
    """One EVALSHA for all requests that wait while the one before is under way."""
    if scope["type"] != "http":
        return
    stored = asyncio.get_running_loop().create_future()
    _waiting.append((await _body(receive), stored))
    if not _tasks:
        _tasks.add(asyncio.create_task(_send()))
    await stored
    await _answer(send)


async def _send() -> None:
    while _waiting:
        taken = list(_waiting)
        _waiting.clear()
        await _store(*(body for body, _ in taken))
        for _, stored in taken:
            stored.set_result(None)
    _tasks.clear()


async def _store(*bodies: bytes) -> None:
    global _sha  # noqa: PLW0603
    try:
        await _client.evalsha(_sha or "0" * 40, 1, "bare", *bodies)
    except NoScriptError:
        _sha = await _client.script_load(_TEXT)
        await _client.evalsha(_sha, 1, "bare", *bodies)


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _answer(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b'{"status":"success"}'})
