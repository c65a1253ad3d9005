"""The master of a Sentinel group as its Sentinels see it, for people.

Beside an event's way; read by `status` and the doctor. Changes nothing: nothing to lose.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vwo_celery.connections.sentinels import SentinelPool, best


class Mastership(msgspec.Struct, frozen=True, kw_only=True):
    """The master, and how sure its Sentinels are of it.

    Attributes:
        master: "HOST:PORT"; "" if no Sentinel names one.
        since_seconds: Time for which it has been the master, or the Sentinels have run.
        failovers: Number of failovers of this group so far.
        electing: Whether the Sentinels are about to replace it.
        down_seconds: Time for which it has not answered them; None if it does.
        sentinels: Number of Sentinels in the URL.
        agreeing: Number of those that name this master.
        silent: Number of those that give no answer.
    """

    master: str
    since_seconds: float = 0.0
    failovers: int = 0
    electing: bool = False
    down_seconds: float | None = None
    sentinels: int
    agreeing: int = 0
    silent: int = 0


def read_mastership(client: Any) -> Mastership | None:
    """Ask every Sentinel behind *client*; None if it uses none. Never raises."""
    pool = getattr(client, "connection_pool", None)
    if not isinstance(pool, SentinelPool):
        return None
    answers = pool.sentinel_manager.words()
    words = [word for word in answers if word is not None]
    silent = len(answers) - len(words)
    if not words:
        return Mastership(master="", sentinels=len(answers), silent=silent)
    found = best(words)
    agreeing = [word for word in words if word.address == found.address]
    return Mastership(
        master=f"{found.address[0]}:{found.address[1]}",
        since_seconds=max(word.since_seconds for word in agreeing),
        failovers=found.epoch,
        electing=found.electing,
        down_seconds=found.down_seconds,
        sentinels=len(answers),
        agreeing=len(agreeing),
        silent=silent,
    )
