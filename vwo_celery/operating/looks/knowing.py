"""What can be known of keys that all queues share, where one is away or of a wrong type.

Beside an event's way: one such key hides no more than what stands in it. Changes nothing: nothing to
lose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from vwo_celery.connections.errors import is_wrong_type
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.types import WrongType, wrong_jobs, wrong_shared

__all__ = [
    "NEEDED",
    "WrongType",
    "known",
    "unless_wrong",
    "why_unknown",
    "why_unreadable",
    "wrong_job_keys",
    "wrong_keys",
]

Answer = TypeVar("Answer")
Otherwise = TypeVar("Otherwise")
#: Names of the keys without which nothing is known of any queue.
NEEDED: Final = ("queues", "shards")


def known(fleet: Fleet, key: str, ask: Callable[[], Answer]) -> Answer | None:
    """What *ask* tells of *key*; None if it is on a part of a Cluster that is away, or of a wrong type.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return None if fleet.hints.is_resting(key) else unless_wrong(ask, None)


def unless_wrong(ask: Callable[[], Answer], otherwise: Otherwise) -> Answer | Otherwise:
    """What *ask* tells; *otherwise* if it asks for a key of a wrong type.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    try:
        return ask()
    except QueueUnavailable as exc:
        if not is_wrong_type(exc):
            raise
        return otherwise


def wrong_keys(fleet: Fleet) -> tuple[WrongType, ...]:
    """The shared keys of a wrong type; none where this user may not ask, or a part is away meanwhile."""
    try:
        return tuple(wrong_shared(fleet))
    except QueueUnavailable:
        return ()  # whoever needs Redis' answer has asked for it before


def wrong_job_keys(fleet: Fleet) -> tuple[WrongType, ...]:
    """The keys of jobs of a wrong type; none where this user may not ask, or a part is away meanwhile."""
    try:
        return tuple(wrong_jobs(fleet))
    except QueueUnavailable:
        return ()


def why_unreadable(fleet: Fleet, *names: str) -> list[str]:
    """Which of the keys of these names are of a wrong type, each in words; one of them is, if any.

    Where this user may not ask for types, nobody can tell which, and there is one line of all.
    """
    keys = [getattr(fleet.keys, name) for name in names]
    found = [str(each) for each in wrong_keys(fleet) if each.key in keys]
    if found or not keys:
        return found
    return [f"{' or '.join(keys)} is of a wrong type; vwo-celery doctor tells more"]


def why_unknown(wrong: Sequence[WrongType], fleet: Fleet, *names: str) -> str:
    """Why nothing is known of what stands in keys of these names, as the end of a sentence."""
    keys = [getattr(fleet.keys, name) for name in names]
    for each in wrong:
        if each.key in keys:
            return str(each)
    return "the part of Redis with it is away"
