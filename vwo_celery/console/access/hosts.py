"""By which names a browser may ask for a console that lets everybody in. Pure: nothing to lose.

Any page in the world can have a name of its own that leads to this host ("DNS rebinding"), and would then
count as a page of ours. It cannot have an address, nor the name localhost. Nor may a proxy pass others
on, who are then not of this host: it shows by what it adds, by what it speaks, or by a page that stands
elsewhere than where it was asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vwo_celery.console.shared.exchange import Request

#: Headers that proxies add, and how others of theirs begin.
_PROXY_HEADERS: Final = frozenset(
    {
        "cdn-loop", "fastly-client-ip", "forwarded", "true-client-ip", "via", "x-client-ip",
        "x-cluster-client-ip", "x-forwarded", "x-real-ip", "x-scheme",
    }
)  # fmt: skip
_PROXY_WORDS: Final = (
    "cf-", "fly-", "tailscale-", "x-amzn-", "x-envoy-", "x-forwarded-", "x-original-",
)  # fmt: skip
#: What nginx speaks to what stands behind it, unless it is told to; no browser does.
_OLD_HTTP: Final = "1.0"
#: Headers that name the page that asks.
_PAGE_HEADERS: Final = ("origin", "referer")


def may_ask_for(host: str, names: Collection[str]) -> bool:
    """Whether the header Host is an address, localhost or one of *names*, with any port."""
    name = _without_port(host).rstrip(".").lower()
    return name == "localhost" or _is_address(name) or name in names


def is_passed_on(request: Request) -> bool:
    """Whether a proxy passed it on, as far as that shows; a program behind one may look like one here."""
    return (
        request.http_version == _OLD_HTTP
        or any(map(_is_proxys, request.headers))
        or _stands_elsewhere(request)
    )


def _is_proxys(header: str) -> bool:
    """Whether a proxy adds it; some spell it with underscores."""
    name = header.replace("_", "-")
    return name in _PROXY_HEADERS or name.startswith(_PROXY_WORDS)


def _stands_elsewhere(request: Request) -> bool:
    """Whether our own page, as its browser sees it, is on another host than the one that was asked."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False  # somebody else's page, which may link to ours
    pages = (request.headers.get(each, "null") for each in _PAGE_HEADERS)
    own = tuple(f"{scheme}://{request.host.lower()}/" for scheme in ("http", "https"))
    return any(page != "null" and not f"{page.lower()}/".startswith(own) for page in pages)


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
