"""By which names a browser may ask for a console that lets everybody in. Pure: nothing to lose.

Any page in the world can have a name of its own that leads to this host ("DNS rebinding"), and would then
count as a page of ours. It cannot have an address, nor the name localhost.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final

#: Headers that proxies add: then somebody else than this host's own user asks.
PROXY_HEADERS: Final = ("forwarded", "via", "x-forwarded-for", "x-real-ip")


def may_ask_for(host: str, names: Collection[str]) -> bool:
    """Whether the header Host is an address, localhost or one of *names*, with any port."""
    name = _without_port(host).rstrip(".").lower()
    return name == "localhost" or _is_address(name) or name in names


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
