"""Where a server listens: its address, whether others can reach it, and its socket.

Nothing to lose.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Final

from vwo_celery.errors import SettingsError

#: Connections that wait for this process to take them.
BACKLOG: Final = 2048
_LAST_PORT: Final = 65_535


def address_of(listen: str, setting: str) -> tuple[str, int]:
    """Host and port to listen on.

    Args:
        listen: HOST:PORT, a valid value of that setting.
        setting: Its name, for errors.

    Raises:
        SettingsError: The port is beyond 65535.
    """
    host, _, port = listen.rpartition(":")
    if int(port) > _LAST_PORT:
        raise SettingsError(f"{setting} {listen} has a port beyond {_LAST_PORT}")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only programs of this host can connect to an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def listener(listen: str, setting: str) -> socket.socket:
    """A socket that listens on an address; see `address_of`.

    Raises:
        SettingsError: It cannot be bound.
    """
    host, port = address_of(listen, setting)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as exc:
        raise SettingsError(f"{setting} {listen} cannot be used: {exc.strerror or exc}") from exc
    listening.set_inheritable(True)
    return listening


def url_of(listening: socket.socket) -> str:
    """The URL of a socket that listens, with its port, whichever that has become."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
