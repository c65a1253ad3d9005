"""Counts of what this process' relay has done, for `doctor` and for whoever asks `counts()`.

Plain numbers in memory, touched by one event loop; they are gone with the process.
"""

from __future__ import annotations

from collections import Counter
from typing import Any


class Counts:
    """Numbers since the process began; `RelayCounts`, which the fleet is told, says what each counts."""

    def __init__(self) -> None:
        self.requests = 0
        self.stored = 0
        self.spooled = 0
        self.lost: Counter[str] = Counter()
        self.folded = 0
        self.refused: Counter[str] = Counter()
        self.reports: Counter[str] = Counter()
        self.settings: Counter[str] = Counter()
        self.gateway: Counter[str] = Counter()
        self.left = 0
        self.left_behind_proxy = 0
        self.cut = 0


counted = Counts()


def counts() -> dict[str, Any]:
    """What the relay of this process has done since it began; see `queue.records.relays.RelayCounts`.

    `left` grows where clients close early, as PHP's FME SDK does, whose events are stored all the
    same. `left_behind_proxy` grows where a proxy in front closes for them, and may keep other
    requests back: nginx then needs `proxy_ignore_client_abort on`. Only a server of `vwo-celery
    relay` counts these; beneath another ASGI server they stay 0.
    """
    return {
        name: dict(value) if isinstance(value, Counter) else value
        for name, value in vars(counted).items()
    }
