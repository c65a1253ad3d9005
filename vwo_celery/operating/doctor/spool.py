"""The doctor's check of this host's spool: could events wait there, and do any?

Reads the spool and changes nothing: nothing to lose.
"""

from __future__ import annotations

from vwo_celery.clocks import unix_ms
from vwo_celery.errors import SpoolUnavailable
from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.settings import Settings
from vwo_celery.spool.fallback import fallback_of
from vwo_celery.spool.spool import Spool
from vwo_celery.text.amounts import count, size, span

#: Share of its capacity from which a spool is nearly full.
_NEARLY_FULL = 0.8


def spool_finding(settings: Settings) -> Finding:
    """Judge whether events can wait on this host's disk, and whether any do."""
    spool = fallback_of(settings).spool
    dropped = "an event is dropped while Redis does not take it"
    if spool is None:
        return ok("spool", f"none on this host, since spool_dir is empty: {dropped}")
    if spool.files.hindrance:
        what = f"cannot be used on this host: {spool.files.hindrance}; {dropped}"
        remedy = "give the application's user a folder of its own: spool_dir (VWO_CELERY_SPOOL_DIR)"
        return problem("VC111", what, remedy)
    try:
        refused = spool.refused()
        if refused:
            remedy = "see who made it; its events are not sent, and new ones wait in other files"
            return problem("VC112", f"a file is not drained: {'; '.join(refused)}", remedy)
        return _content(spool)
    except SpoolUnavailable as exc:
        remedy = "run this as the application's user; see spool_dir (VWO_CELERY_SPOOL_DIR)"
        return problem("VC113", f"cannot be read: {exc}", remedy)


def _content(spool: Spool) -> Finding:
    contents = spool.contents()
    if not contents:
        return ok("spool", f"nothing waits on this host, in {spool.files.folder}")
    used, most = spool.used_bytes(), spool.max_bytes
    events = count(sum(each.events for each in contents), "event")
    age_seconds = max(0, unix_ms() - min(each.oldest_ms for each in contents)) / 1000
    is_full = used >= _NEARLY_FULL * most
    return (problem if is_full else warn)(
        "VC115" if is_full else "VC114",
        f"{events} on this host's disk, {size(used)} of {size(most)}, the oldest for "
        f"{span(age_seconds)}",
        "they go to Redis by themselves once it takes them and an application runs here; else: "
        "vwo-celery spool drain",
    )
