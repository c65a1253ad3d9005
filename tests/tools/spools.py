"""Spools without a producer: opened, filled for a queue, and drained as a drainer does."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tools.producers import DESTINATION, numbers
from vwo_celery.producing.limits import limits_of
from vwo_celery.queue.words.registration import Registration
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


def padded(n: int) -> bytes:
    """An event of a kilobyte."""
    return b'{"n":%d,"pad":"%s"}' % (n, b"x" * 1000)


def fill(spool: Spool, start: int = 0) -> None:
    """Store events of a kilobyte until the spool raises."""
    for n in range(start, start + 10_000):
        spool.put(registration(), [padded(n)])


def put_many_and_exit(folder: Path, account: int, count: int) -> None:
    """In a forked child: put in that many events of an account, and end with 0."""
    code = 1
    try:
        spool = open_spool(folder, 100 * MAX_BYTES)
        for n in range(count):
            spool.put(registration(account), numbers(1, n))
        code = 0
    finally:
        os._exit(code)
