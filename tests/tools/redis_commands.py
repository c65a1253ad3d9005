"""Commands that a piece of code sends to Redis, as the server sees them (MONITOR)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

#: Commands with which a client opens a connection.
_GREETINGS = ("HELLO", "CLIENT", "SELECT", "AUTH", "PING")


@contextmanager
def commands_sent(client: Any) -> Iterator[Callable[[], list[str]]]:
    """Give a function that returns the commands sent so far by any client, in order.

    Leaves out what scripts do inside Redis and what clients send when they connect.
    """
    with client.monitor() as monitor:
        seen: list[str] = []

        def sent() -> list[str]:
            end = f"end-{uuid4().hex}"
            client.echo(end)
            while end not in (text := _text(monitor.next_command())):
                if text and text.split()[0].upper() not in _GREETINGS:
                    seen.append(text)
            return list(seen)

        yield sent


def _text(command: dict[str, Any]) -> str:
    """The command, word by word; "" for one that a script ran."""
    return "" if command["client_type"] == "lua" else str(command["command"])
