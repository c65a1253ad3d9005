"""Spools without a producer: opened, filled for a queue, and drained as a drainer does."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tools.producers import DESTINATION
from vwo_celery.producing.limits import limits_of
from vwo_celery.queue.registration import Registration
from vwo_celery.settings import Settings
from vwo_celery.settings.batch_event_data import parse_batch_event_data
from vwo_celery.spool.files import spool_files
from vwo_celery.spool.spool import Spool

MAX_BYTES = 1_000_000


def registration(account: int = 1) -> Registration:
    """A queue."""
    destination = msgspec.structs.replace(DESTINATION, account_id=account)
    return Registration(destination, limits_of(parse_batch_event_data(None), Settings()))


def open_spool(folder: Path, max_bytes: int = MAX_BYTES) -> Spool:
    """One more connection to that spool."""
    return Spool(spool_files(str(folder), "vwo", "here"), max_bytes=max_bytes)


def database(spool: Spool) -> str:
    """The only file of a spool."""
    (path,) = spool.paths()
    return path


def drained(spool: Spool) -> list[bytes]:
    """All events of the spool, page by page, as a drainer takes them."""
    texts = []
    while (page := spool.take()) is not None:
        texts += page.encoded
        spool.remove(page)
    return texts
