"""Events that will not be delivered: the one place that says so, to receivers and to the log.

Place: an edge, beside every stage. Whoever drops events counts them (the producer in `dropped`, the
scripts in the ledger) and then announces them here. Receivers live in this process; where nobody has
imported `vwo_celery.signals`, nobody can be connected, so that a producer need not import Celery.
What is announced is over: if the process dies in here, a line or a signal is missing, nothing else.
"""

from __future__ import annotations

import logging
import sys
import time

log = logging.getLogger("vwo_celery")

LOG_EVERY_SECONDS = 60.0


class SeldomLog:
    """Warnings of which each topic appears at most once a minute; safe under threads and forks."""

    def __init__(self) -> None:
        self._logged_at: dict[str, float] = {}

    def warn(self, topic: str, message: str, *details: object) -> bool:
        """Log a warning, unless one on this topic was logged lately; whether it was."""
        now = time.monotonic()
        last = self._logged_at.get(topic)
        if last is not None and now - last < LOG_EVERY_SECONDS:
            return False
        self._logged_at[topic] = now
        log.warning(message, *details)
        return True


#: Of the whole process.
seldom = SeldomLog()
_unsaid: dict[str, int] = {}


def announce_drop(queue: str, reason: str, count: int, detail: str = "") -> None:
    """Tell receivers of `event_dropped`, and once a minute the log; never raises.

    Args:
        queue: The queue's name.
        reason: One word, as counted.
        count: Number of events, 1 and up.
        detail: What is behind it and what to do, for the log.
    """
    _tell_log(queue, reason, count, detail)
    signals = sys.modules.get("vwo_celery.signals")
    event_dropped = getattr(signals, "event_dropped", None)  # None also while it is being imported
    if event_dropped is None:
        return
    try:
        event_dropped.send(sender=queue, queue=queue, reason=reason, count=count)
    except Exception:
        log.exception("a receiver of event_dropped could not be told of %d events", count)


def _tell_log(queue: str, reason: str, count: int, detail: str) -> None:
    """Each line counts what was dropped since the one before it."""
    topic = f"{queue} {reason}"
    unsaid = _unsaid.get(topic, 0) + count
    _unsaid[topic] = unsaid
    told = seldom.warn(
        topic, "%d event(s) of queue %s dropped (%s)%s", unsaid, queue, reason,
        f": {detail}" if detail else "",
    )  # fmt: skip
    if told:
        _unsaid[topic] = 0
