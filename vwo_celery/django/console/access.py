"""Who a request comes from, and what they may do: Django's permissions are the console's rights.

Nothing to lose.
"""

from __future__ import annotations

from typing import Final

from vwo_celery.console import Request, Right, Visitor

#: Each right, and the permission that gives it.
PERMISSIONS: Final = {right: f"vwo_celery.{right.value}_eventqueue" for right in Right}


def visitor_of(request: Request) -> Visitor | None:
    """Who asks, by their user name, with the rights that their permissions give; None without *view*."""
    user = getattr(request.native, "user", None)
    if user is None:
        return None
    rights = frozenset(right for right, name in PERMISSIONS.items() if user.has_perm(name))
    return Visitor(user.get_username(), rights) if Right.VIEW in rights else None
