"""Commands that a piece of code sends to Redis, as the server sees them (MONITOR)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

#: Commands with which a client opens a connection.
_GREETINGS = ("HELLO", "CLIENT", "SELECT", "AUTH", "PING")


@contextmanager
def commands_sent(
    client: Any, *, inside_scripts: bool = False
) -> Iterator[Callable[[], list[str]]]:
    """Give a function that returns the commands sent so far by any client, in order.

    Leaves out what clients send when they connect, and unless it is asked for, what scripts do
    inside Redis.
    """
    with client.monitor() as monitor:
        seen: list[str] = []

        def sent() -> list[str]:
            end = f"end-{uuid4().hex}"
            client.echo(end)
            while end not in (text := _text(monitor.next_command(), inside_scripts)):
                if text and text.split()[0].upper() not in _GREETINGS:
                    seen.append(text)
            return list(seen)

        yield sent


def _text(command: dict[str, Any], inside_scripts: bool) -> str:
    """The command, word by word; "" for one that a script ran, unless those are wanted."""
    by_script = command["client_type"] == "lua" and not inside_scripts
    return "" if by_script else str(command["command"])


def reads_batches(command: str) -> bool:
    """Whether a command reads all batches of a shard, so that its cost grows with the backlog."""
    words = command.upper().split()
    whole = words[0] in ("ZRANGE", "LRANGE") and words[2:4] == ["0", "-1"]
    return whole or (words[0] == "HGETALL" and words[1].endswith(":INFO"))
