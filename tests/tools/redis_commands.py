"""Which commands a piece of code sends to Redis, as the server itself sees them (MONITOR)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

#: What a client says of itself when it connects.
_GREETINGS = ("HELLO", "CLIENT", "SELECT", "AUTH", "PING")


@contextmanager
def commands_sent(client: Any) -> Iterator[Callable[[], list[str]]]:
    """Gives a function that answers the commands sent so far, by anyone, in order.

    What scripts do inside Redis, and what clients say when they connect, is left out.
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
