"""Clocks that a test which freezes time leaves running: how long something took or may still take.

Beside every stage. freezegun replaces `time.monotonic` and its kin wherever a module holds them, so
that each wait for a deadline would last for ever; it leaves `time.clock_gettime` alone. Nothing to
lose.
"""

from __future__ import annotations

import time

_STEADY: int | None = getattr(time, "CLOCK_MONOTONIC", None)
_WALL: int | None = getattr(time, "CLOCK_REALTIME", None)


def monotonic() -> float:
    """Seconds from any start, which never step back."""
    return time.monotonic() if _STEADY is None else time.clock_gettime(_STEADY)


def unix_ms() -> int:
    """This host's time in Unix ms, for what stays on this host."""
    now = time.time() if _WALL is None else time.clock_gettime(_WALL)
    return int(1000 * now)
