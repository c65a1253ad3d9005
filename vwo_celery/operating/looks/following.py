"""The queues whose outcomes somebody follows, new ones included, as they come.

Beside an event's way; nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from vwo_celery.operating.looks.inspector import shards_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Registration
from vwo_celery.queue.work import tailing
from vwo_celery.queue.work.tailing import Heard, Lost, Missed, Told

__all__ = ["Following", "Heard", "Lost", "Missed", "Told"]

#: Most queues that are followed whether they hold something or not.
_MOST_QUEUES: Final = 500


class Following:
    """The outcomes of some queues, or of all.

    Args:
        fleet: The queues.
        queues: Names of the queues; none for all.
        choose: The registrations of queues of these names.

    Attributes:
        names: The queues that are followed now.
        left_out: What is left out, as the end of a sentence; "" for nothing.

    Raises:
        QueueUnavailable: Redis did not answer.
        QueueUnknown: There is no such queue.
    """

    def __init__(
        self,
        fleet: Fleet,
        queues: Sequence[str],
        choose: Callable[[Sequence[str]], Mapping[str, Registration]],
    ) -> None:
        self._fleet = fleet
        self._queues = queues
        self._choose = choose
        self.left_out = ""
        self.names: Sequence[str] = ()
        self._shards()

    def follow(self, wait: Callable[[float], Any]) -> Iterator[Told | None]:
        """Yield outcomes, and gaps; see `tailing.follow`."""
        return tailing.follow(self._fleet, self._shards, wait)

    def _shards(self) -> list[Shard]:
        registered = self._choose(self._queues)
        if not self._queues and len(registered) > _MOST_QUEUES:
            # To speak to each of very many queues, again and again, would cost more than it tells.
            watched = {shard.queue for shard in self._fleet.watched()}
            self.left_out = f", of {len(registered):,} those that hold something"
            registered = {name: each for name, each in registered.items() if name in watched}
        self.names = [*registered]
        return [shard for those in shards_of(self._fleet, registered).values() for shard in those]
