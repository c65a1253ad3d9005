"""The doctor's check of the Redis user: may it do what workers and applications need?

A pure decision on what a try found: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Sequence

from vwo_celery.operating.doctor.finding import Finding, ok, problem
from vwo_celery.queue.servers.permissions import Missing


def permission_finding(missing: Missing, of_producers: Sequence[str]) -> Finding:
    """Judge the rights that this connection's user lacks.

    Args:
        missing: The rights that a worker needs and the user lacks.
        of_producers: Those of the missing commands that an application needs, too.
    """
    if not missing:
        what = f"Redis user {missing.user!r} may run all that workers and applications need"
        return ok("permissions", what)
    who = "workers and applications" if of_producers or missing.keys else "workers"
    what = f"{missing}, which {who} need"
    remedy = (
        f"if they connect as this user, run: {missing.remedy}; "
        "a user who only looks needs no more than vwo-celery acl viewer prints"
    )
    return problem("VC301", what, remedy)
