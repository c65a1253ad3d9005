"""Wait for a condition with a deadline; find a port that stays free across a restart."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

#: Below the kernel's ephemeral ports (32768 and up on Linux, 49152 and up elsewhere). A client that
#: keeps dialling a stopped server's ephemeral port can be given that very port as its own and then
#: connects to itself; and any other connection may take the port before a restart does.
_PORTS = range(20_000, 32_000)
_PORT_TRIES = 200


def wait_for(
    predicate: Callable[[], Found],
    timeout_seconds: float = 10.0,
    *,
    what: str = "",
    every_seconds: float = 0.01,
) -> Found:
    """The first true answer of *predicate*, which is asked until the deadline.

    Args:
        predicate: Asked at once, then again and again; its exceptions are not caught.
        timeout_seconds: Longest wait.
        what: Words for the condition, for the error.
        every_seconds: Pause between two questions.

    Raises:
        TimeoutError: No true answer came; names *what* and the last answer.
    """
    deadline = time.monotonic() + timeout_seconds
    while not (found := predicate()):
        if time.monotonic() >= deadline:
            raise TimeoutError(
                f"waited {timeout_seconds:g} s in vain for {what or predicate!r}; "
                f"the last answer was {found!r}"
            )
        time.sleep(every_seconds)
    return found


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on now and that no outgoing connection will be given.

    Raises:
        OSError: None was found in many tries.
    """
    for port in random.sample(_PORTS, _PORT_TRIES):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free TCP port on {host} between {_PORTS.start} and {_PORTS.stop - 1}")
