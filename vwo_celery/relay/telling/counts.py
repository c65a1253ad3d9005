"""Counts of what this process' relay has done, for `doctor` and for whoever asks `counts()`.

Plain numbers in memory, touched by one event loop; they are gone with the process.
"""

from __future__ import annotations

from collections import Counter
from typing import Any


class Counts:
    """Numbers since the process began.

    Attributes:
        requests: Requests that were read whole.
        stored: Events that Redis has.
        spooled: Events that this host's disk has.
        lost: Items of accepted batches that are no events, by reason.
        folded: Events that went to another destination of their SDK, since there were too many.
        refused: Requests that were answered with an error, by reason.
        reports: Reports of the SDKs on themselves, by what became of them: forwarded, queued,
            switched_off, and those that were lost: full, failed, ended, too_large.
        settings: Requests for settings by what they got: those that are fresh or stale, a refusal of
            VWO's, or none; and failed, those for which VWO was asked and gave none.
        gateway: Requests to VWO's gateway: answered or failed.
        left: Requests whose client had closed the connection before the answer.
        left_behind_proxy: Of these, requests that had come through a proxy.
        cut: Requests whose client closed the connection before their end; nothing of them is stored.
    """

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
    """What the relay of this process has done since it began; see `Counts` for the names.

    `left` grows where clients close early, as PHP's FME SDK does, whose events are stored all the
    same. `left_behind_proxy` grows where a proxy in front closes for them, and may keep other
    requests back: nginx then needs `proxy_ignore_client_abort on`. Only a server of `vwo-celery
    relay` counts these; beneath another ASGI server they stay 0.
    """
    return {
        name: dict(value) if isinstance(value, Counter) else value
        for name, value in vars(counted).items()
    }
