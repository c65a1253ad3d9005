"""Answers of the scripts that store events and seal batches.

Data without I/O: nothing to lose.
"""

from __future__ import annotations

from typing import NamedTuple

#: Codes of a push.
STORED, DUPLICATE, TOO_MANY_EVENTS, TOO_MANY_BYTES, NOT_REGISTERED, TOO_FEW_NAMES = range(1, -5, -1)
#: Code of a push that is not stored, since a clone of its process has used the mark.
CLONED = -5
#: Answer of append.lua that an event is stored, and that the next one is hardly for append.lua.
STORED_LAST = 2
#: Code of a push that the gate let in: stored, and the time to live of its mark goes on.
LET_IN = 3
#: Codes of a push whose events Redis has.
KEPT = (STORED, DUPLICATE, LET_IN)
#: Codes of a push for which the queue had no room.
REFUSALS = (TOO_MANY_EVENTS, TOO_MANY_BYTES)


class Pushed(NamedTuple):
    """The answer of enqueue.lua, and whether as many replicas as required have the push."""

    code: int
    sealed: int
    wakeups: int
    watch: int
    replicated: bool = True


class Swept(NamedTuple):
    """The answer of sweep.lua, and the token under which it handed out wake-ups."""

    registered: int
    sealed: int
    wakeups: int
    more: int
    idle: int
    overdue: int
    token: str
