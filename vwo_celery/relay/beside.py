"""The relay in front of another ASGI application, of which it takes what is beneath one path.

In front, and not mounted inside: a middleware of the application that awaits anything before it hands
a request on lets a server forget the body of a client that has left, and PHP's FME SDK leaves at once.
If the process dies, see `app`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from vwo_celery.errors import SettingsError
from vwo_celery.relay.app import Message, Receive, Relay, Scope, Send

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def beside(app: App, relay: Relay) -> App:
    """Return an ASGI app: *relay* for what is beneath its prefix, *app* for everything else.

    The server's life is the application's; the relay waits for events that are being stored before
    *app* is told to end, and follows the server alone where *app* cannot, as Django's.

    Args:
        app: The application.
        relay: Made by `relay_app(prefix="/…")`.

    Raises:
        SettingsError: The relay has no prefix, so that nothing would be left to *app*.
    """
    beneath = f"{relay.prefix}/"
    if beneath == "/":
        raise SettingsError(
            "a relay beside another application needs the path that is its own: "
            'relay_app(prefix="/vwo"); there is no prefix, so it would take every request'
        )

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _follow(app, relay, scope, receive, send)
        elif scope["type"] == "http" and _path_of(scope).startswith(beneath):
            await relay(scope, receive, send)
        else:
            await app(scope, receive, send)

    return both


def _path_of(scope: Scope) -> str:
    """The path without the one that the server itself is reached under (uvicorn --root-path)."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


async def _follow(app: App, relay: Relay, scope: Scope, receive: Receive, send: Send) -> None:
    """Let *app* follow the server's life, or the relay where *app* knows no such thing."""
    read: list[Message] = []
    has_answered = False

    async def read_on() -> Message:
        message = await receive()
        read.append(message)
        if message["type"] == "lifespan.shutdown":
            await relay.aclose()
        return message

    async def answer(message: Message) -> None:
        nonlocal has_answered
        has_answered = True
        await send(message)

    async def read_again() -> Message:
        return read.pop(0) if read else await receive()

    try:
        await app(scope, read_on, answer)
    except Exception:
        if has_answered:
            raise
        await relay(scope, read_again, send)
