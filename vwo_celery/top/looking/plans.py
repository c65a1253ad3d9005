"""A plan: what a key would change, in words and in numbers, before somebody agrees.

Each is made by a look that changes nothing: `steering` makes those of queues, `changes` those of dead
letters. It acts through `operating.operations`, so that each change is in the audit. If the process dies
in an act, what was changed stays so, and the same key does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vwo_celery.operating.operations import Amount, Brake
from vwo_celery.operating.past.audit import Actor
from vwo_celery.queue.fleet import Fleet

Watch = Callable[[Amount], None]


class Means(NamedTuple):
    """What an act is given.

    Attributes:
        fleet: The queues.
        actor: Who asks for it.
        reason: Their reason, "" for none.
        brake: What stops bulk work after the batch that it is at.
        watch: Called with what has been changed so far.
    """

    fleet: Fleet
    actor: Actor
    reason: str
    brake: Brake
    watch: Watch


class Plan(NamedTuple):
    """One change, before somebody agrees to it.

    Attributes:
        title: Its name and what it is done to.
        lines: What it will do.
        act: Does it; what it did, in words.
        destroys: Whether events are dropped for good.
        takes_reason: Whether a reason may be given.
        batches: Number of batches that it goes through; None where it is done at once.
    """

    title: str
    lines: Sequence[str]
    act: Callable[[Means], str]
    destroys: bool = False
    takes_reason: bool = False
    batches: int | None = None


class Nothing(NamedTuple):
    """There is nothing to change, and why."""

    why: str
