"""Idempotency marks: what keeps a push that is sent twice from storing twice.

Place: words, in the producing process. Each push carries the id of a mark and a number that rises; the
script remembers the last number of each mark for some minutes and stores nothing for one that it has
seen. Neither generation's events carry an id that could serve. A mark that dies with its process is
forgotten by Redis.
"""

from __future__ import annotations

import os
from collections import deque
from uuid import uuid4

import msgspec


class Mark(msgspec.Struct):
    """A producer's idempotency mark: one push at a time may be under way with it."""

    id: str
    sequence: int = 0


class Marks:
    """The marks of this process; safe under threads and greenlets.

    A mark goes back only after a push whose fate is known. After a fork the child starts with none
    of its parent's, since both would count on from the same number.
    """

    def __init__(self) -> None:
        self._free: deque[Mark] = deque()
        self._pid = os.getpid()

    def take(self) -> Mark:
        """A mark with its sequence raised for the next push."""
        if self._pid != os.getpid():
            self._free, self._pid = deque(), os.getpid()
        try:
            mark = self._free.pop()
        except IndexError:
            mark = Mark(uuid4().hex[:12])
        mark.sequence += 1
        return mark

    def give_back(self, mark: Mark) -> None:
        """Let the next push use it."""
        self._free.append(mark)


def push_token(mark: Mark) -> str:
    """Name of the first batch that a push may seal; also the stem of its wake-up tokens."""
    return f"{mark.id}.{mark.sequence:08d}"
