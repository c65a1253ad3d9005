"""What the doctor says of this host's spool.

Place: work, beside an event's way. It looks, and changes nothing.
"""

from __future__ import annotations

import time

from vwo_celery.errors import SpoolUnavailable
from vwo_celery.operating.findings import Finding
from vwo_celery.settings import Settings
from vwo_celery.spool.fallback import fallback_of
from vwo_celery.spool.spool import Spool
from vwo_celery.text.amounts import count, size, span

#: Share of its capacity from which a spool is nearly full.
_NEARLY_FULL = 0.8


def spool_finding(settings: Settings) -> Finding:
    """Whether events could wait on this host's disk, and whether any do."""
    spool = fallback_of(settings).spool
    if spool is None:
        return Finding(
            "spool", "ok", "none on this host, since spool_dir is empty: an event is dropped while "
            "Redis does not take it",
        )  # fmt: skip
    if spool.files.hindrance:
        return Finding(
            "spool", "problem",
            f"cannot be used on this host: {spool.files.hindrance}; an event is dropped while Redis "
            "does not take it",
            "give the application's user a folder of its own: spool_dir (VWO_CELERY_SPOOL_DIR)",
        )  # fmt: skip
    try:
        return _content(spool)
    except SpoolUnavailable as exc:
        return Finding(
            "spool", "problem", f"cannot be read: {exc}",
            "run this as the application's user; see spool_dir (VWO_CELERY_SPOOL_DIR)",
        )  # fmt: skip


def _content(spool: Spool) -> Finding:
    contents = spool.contents()
    if not contents:
        return Finding("spool", "ok", f"nothing waits on this host, in {spool.files.folder}")
    used, most = spool.used_bytes(), spool.max_bytes
    age_seconds = max(0.0, time.time() - min(each.oldest_ms for each in contents) / 1000)
    return Finding(
        "spool", "problem" if used >= _NEARLY_FULL * most else "warn",
        f"{count(sum(each.events for each in contents), 'event')} on this host's disk, {size(used)} of "
        f"{size(most)}, the oldest for {span(age_seconds)}",
        "they go to Redis by themselves once it takes them and an application runs here; else: "
        "vwo-celery spool drain",
    )  # fmt: skip
