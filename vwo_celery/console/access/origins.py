"""Whether a request that changes something comes from one of our own pages. Pure: nothing to lose.

A browser says so itself in Sec-Fetch-Site, which no page can forge. It leaves that out where the page
came by plain http from another host than this one; then Origin must name the host that was asked. A
program sends neither, and brings a Bearer token, which no browser sends by itself, and which no page of
somebody else can make it send.
"""

from __future__ import annotations

from vwo_celery.console.shared.exchange import Request


def is_own(request: Request) -> bool:
    """Whether it was sent by a page of ours, or by a program with a token."""
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return True
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return _names_host(request.headers.get("origin", ""), request.host)


def _names_host(origin: str, host: str) -> bool:
    return bool(host) and origin in (f"http://{host}", f"https://{host}")
