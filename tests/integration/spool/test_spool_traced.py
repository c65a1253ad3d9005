"""Trace contexts in spool files: within the limit, and in files of builds that knew nothing of them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tools.producers import numbers
from tools.spools import MAX_BYTES, database, drained, open_spool, registration
from vwo_celery.errors import SpoolFull
from vwo_celery.spool.spool import Spool
from vwo_celery.tracing.carried import MOST_STATE_BYTES, Span, Traced, spans_of

CONTEXT = f"00-{1:032x}-{2:016x}-01"
LONG = f"{CONTEXT} {'s=' + 'x' * (MOST_STATE_BYTES - 2)}"


def traced(count: int, start: int = 0, context: str = CONTEXT) -> Traced:
    """Numbered events of one traced call."""
    return Traced(numbers(count, start), [Span(0, count, context)])


def fill(spool: Spool) -> None:
    """Store small events with long contexts until the spool raises."""
    for start in range(0, 100_000, 700):
        spool.put(registration(), traced(700, start, LONG))


def test_contexts_count_as_what_the_file_holds(spool: Spool) -> None:
    """The file stays within its limit, however much longer contexts are than their events."""
    with pytest.raises(SpoolFull, match="max_spool_bytes"):
        fill(spool)

    assert spool.count() >= 1000
    assert spool.used_bytes() <= MAX_BYTES
    assert os.path.getsize(database(spool)) <= MAX_BYTES


def test_a_file_without_room_for_contexts_keeps_the_events(spool: Spool, folder: Path) -> None:
    """A file of a build from before contexts takes events of traced calls, and gives all of them out."""
    spool.put(registration(), numbers(2))
    spool.close()
    with closing(sqlite3.connect(database(spool))) as db:
        db.execute("ALTER TABLE events RENAME COLUMN trace TO later")

    again = open_spool(folder)
    again.put(registration(), traced(2, 2))
    page = again.take()

    assert page is not None
    assert (page.encoded, spans_of(page.encoded)) == (numbers(4), ())
    again.remove(page)
    assert again.count() == 0
    again.close()


def test_a_build_from_before_contexts_reads_and_adds(spool: Spool) -> None:
    """It names no column for them: it reads every event, and those that it adds have none."""
    spool.put(registration(), traced(2))
    with closing(sqlite3.connect(database(spool))) as db:
        (row,) = db.execute("SELECT id FROM queues").fetchone()
        db.execute(
            "INSERT INTO events (queue, spooled_ms, text) VALUES (?, 1, ?)", (row, b'{"n":2}')
        )
        found = [text for (text,) in db.execute("SELECT text FROM events ORDER BY id")]
        db.commit()

    page = spool.take()

    assert page is not None
    assert found[:2] == numbers(2)
    assert page.encoded == [*numbers(2), b'{"n":2}']
    assert spans_of(page.encoded) == (Span(0, 2, CONTEXT),)
    assert drained(spool) == page.encoded
