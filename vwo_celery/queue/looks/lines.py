"""A batch's line in info, read as lua/shared/info.lua reads it.

Beneath `glances` and `snapshots`. Reads nothing itself: nothing to lose.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from vwo_celery.queue.words.keys import as_text

_LINE = re.compile(":".join([r"(\d{1,15})"] * 6) + r":(.*)", re.DOTALL | re.ASCII)


class Line(NamedTuple):
    """A batch's line.

    Attributes:
        attempt: Number of claims so far.
        lost_leases: Number of leases that ran out.
        events: Number of events.
        bytes: Their size.
        first_ms: Unix ms of its oldest event.
        sealed_ms: Unix ms from which its age counts.
        error: Why it was last released or dead-lettered, "" if it never was.
    """

    attempt: int
    lost_leases: int
    events: int
    bytes: int
    first_ms: int
    sealed_ms: int
    error: str

    @property
    def has_failed(self) -> bool:
        """Whether an attempt failed; while such a batch waits, it is released."""
        return self.attempt > 0 and self.error != ""


def read_line(text: bytes | str | None) -> Line | None:
    """The line; None if there is none, or if it cannot be read."""
    found = _LINE.fullmatch(as_text(text)) if text is not None else None
    return Line._make((*map(int, found.groups()[:6]), found[7])) if found else None
