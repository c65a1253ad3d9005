"""Workers that listen, and when each was last heard: one spelling for every view.

Reads signs of life: nothing to lose. A worker notes every few seconds that it listens, and takes its
note back when it stops. One that was killed cannot, so its note counts for a while: no view says
that a worker listens without saying when it was heard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.text.amounts import span

#: Longest silence of a worker that listens: the time between two notes, and the turn in between.
LONGEST_SILENCE_SECONDS: Final = 7.0


class Listening(NamedTuple):
    """One worker that listens, or did a moment ago.

    Attributes:
        name: The worker's name.
        silent_seconds: Time since it was last heard.
    """

    name: str
    silent_seconds: float

    @property
    def is_quiet(self) -> bool:
        """Whether it was silent for longer than a worker that listens ever is."""
        return self.silent_seconds > LONGEST_SILENCE_SECONDS

    def __str__(self) -> str:
        return f"{self.name}, last heard {span(self.silent_seconds)} ago"


def listening(fleet: Fleet) -> list[Listening]:
    """The workers that listen, the one heard last first.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    heard, now_ms = fleet.heard_ms(), fleet.now_ms()
    found = [Listening(name, max(0, now_ms - at) / 1000) for name, at in heard.items()]
    return sorted(found, key=lambda each: (each.silent_seconds, each.name))


def listening_if_known(fleet: Fleet) -> list[Listening] | None:
    """The same; None while the part of a Cluster is away that knows them.

    Raises:
        QueueUnavailable: There is one server, and it did not answer.
    """
    try:
        return listening(fleet)
    except QueueUnavailable:
        if not fleet.in_cluster:
            raise
        return None


def spell(workers: Iterable[Listening]) -> str:
    """Name workers, each with when it was last heard."""
    return "; ".join(map(str, workers))
