"""The one way in which tests wait: for a condition, with a deadline, never for a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from vwo_celery.testing import wait_for

__all__ = ["PATIENCE", "wait_until"]

#: How many times slower than the machine for which a test's timeout was chosen another may be.
PATIENCE = 4

Found = TypeVar("Found")


def wait_until(
    predicate: Callable[[], Found],
    timeout_seconds: float = 10.0,
    *,
    what: str = "",
    every_seconds: float = 0.01,
) -> Found:
    """The first true answer of *predicate*; see `wait_for`, which waits no longer than it is told.

    Args:
        predicate: As of `wait_for`.
        timeout_seconds: A wait that is long enough on an idle machine.
        what: As of `wait_for`.
        every_seconds: As of `wait_for`.

    Raises:
        TimeoutError: No true answer came, however slow the machine.
    """
    return wait_for(predicate, PATIENCE * timeout_seconds, what=what, every_seconds=every_seconds)
