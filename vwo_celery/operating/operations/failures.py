"""What fails of one queue among several that are changed: the others are changed all the same.

A key of one queue that somebody wrote another thing to keeps no other queue from being paused, and no
other dead letter from being sent again. If the process dies meanwhile, the same command does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from vwo_celery.connections.errors import is_trouble_of_redis
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.parts import left_out
from vwo_celery.text.amounts import count

#: Of queues that are changed, but whose workers hear of it late.
NOT_WOKEN: Final = "no worker was woken for"


class Failures:
    """The queues of which something could not be done, each with its first error.

    Args:
        but: What was not done, in words that a queue's name follows.
    """

    def __init__(self, but: str = "not for") -> None:
        self._but = but
        self._errors: dict[str, QueueUnavailable] = {}

    @property
    def errors(self) -> Mapping[str, QueueUnavailable]:
        """Their names, and the errors."""
        return self._errors

    @contextmanager
    def of(self, queue: str) -> Iterator[None]:
        """Change something of a queue; an error of its own keys is kept for `tell`.

        Raises:
            QueueUnavailable: The error concerns all of Redis.
        """
        try:
            yield
        except QueueUnavailable as exc:
            if is_trouble_of_redis(exc.__cause__):
                raise
            self._errors.setdefault(queue, exc)

    def note_away(self, queues: Iterable[str]) -> None:
        """Note queues of which some shards are on a part of a Cluster that is away, as they were."""
        for queue in queues:
            self._errors.setdefault(queue, left_out())

    def tell(self, done: str) -> None:
        """Do nothing if nothing failed.

        Args:
            done: What was changed all the same, in words.

        Raises:
            QueueUnavailable: Something failed; the message says what was done and what was not.
        """
        for queue, exc in self._errors.items():
            more = len(self._errors) - 1
            others = f", nor for {count(more, 'other queue')}" if more else ""
            raise QueueUnavailable(
                f"{done}, but {self._but} {queue}{others}: {exc}"
            ) from exc.__cause__
