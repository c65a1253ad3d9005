"""Who comes in where an application decides: the role that a cookie names, as a session would."""

from __future__ import annotations

from http.cookies import SimpleCookie

from vwo_celery.console import Request


def role_of(request: Request) -> str | None:
    """The role of the cookie "role"; None, nobody, without one."""
    cookies = SimpleCookie(request.headers.get("cookie", ""))
    return cookies["role"].value if "role" in cookies else None
