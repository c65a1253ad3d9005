"""Flush, pause and resume: when queues are sent. See `operating.operations`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from vwo_celery.console.actions.action import Action
from vwo_celery.console.shared.rights import Right
from vwo_celery.operating import operations

if TYPE_CHECKING:
    from vwo_celery.console.shared.visits import Visit


class QueuesOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The queues that are meant.

    Attributes:
        queues: Their names.
        every: All that are registered now, in place of names.
    """

    queues: tuple[str, ...] = ()
    every: bool = False

    def __post_init__(self) -> None:
        if bool(self.queues) == self.every:
            raise ValueError("give either names of queues, or every: true")


class PauseOrder(QueuesOrder, frozen=True, forbid_unknown_fields=True):
    """The queues to pause.

    Attributes:
        reason: Shown beside who paused them and when.
    """

    reason: str = ""


def _flush(visit: Visit, order: QueuesOrder) -> Any:
    return operations.flush(visit.fleet, visit.actor, order.queues).document()


def _pause(visit: Visit, order: PauseOrder) -> Any:
    chosen = visit.choose(order.queues)
    return {"paused": operations.pause(visit.fleet, visit.actor, chosen, order.reason)}


def _resume(visit: Visit, order: QueuesOrder) -> Any:
    return {"resumed": operations.resume(visit.fleet, visit.actor, visit.choose(order.queues))}


FLUSH: Final = Action("flush", Right.OPERATE, QueuesOrder, _flush)
PAUSE: Final = Action("pause", Right.OPERATE, PauseOrder, _pause)
RESUME: Final = Action("resume", Right.OPERATE, QueuesOrder, _resume)
