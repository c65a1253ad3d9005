"""Flush, pause, resume and retry: when queues are sent. See `operating.operations`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vwo_celery.console.actions.action import Action
from vwo_celery.console.shared.rights import Right
from vwo_celery.operating import operations
from vwo_celery.operating.operations import Amount

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
        queues: Their names.
        every: All that are registered now, in place of names.
        reason: Shown beside who paused them and when.
    """

    reason: str = ""


class RetryOrder(QueuesOrder, frozen=True, forbid_unknown_fields=True):
    """What to send at once.

    Attributes:
        queues: The names of queues.
        every: All that are registered now, in place of names.
        batches: Ids of batches in them; all that wait for their next attempt.
    """

    batches: tuple[str, ...] = ()


class FlushedQueue(msgspec.Struct, frozen=True):
    """What became of a queue's events.

    Attributes:
        queue: Its name.
        delivered: Events that VWO has accepted.
        failed: Events that it has refused, or that are to be tried again.
        pending: Events that are on their way.
        reason: Why some are not delivered, "" if all are.
    """

    queue: str
    delivered: int
    failed: int
    pending: int
    reason: str


class Paused(msgspec.Struct, frozen=True):
    """What was paused.

    Attributes:
        paused: Names of the queues that no operator had paused before.
    """

    paused: list[str]


class Resumed(msgspec.Struct, frozen=True):
    """What was resumed.

    Attributes:
        resumed: Names of the queues that were paused or stopped.
    """

    resumed: list[str]


class MadeDue(msgspec.Struct, frozen=True):
    """What was made due at once.

    Attributes:
        made_due: How much.
        left: What was meant, and is as it was.
        stopped: Whether somebody stopped it.
        vanished: Events that somebody had deleted from Redis.
    """

    made_due: Amount
    left: Amount
    stopped: bool
    vanished: int


def _flush(visit: Visit, order: QueuesOrder) -> list[FlushedQueue]:
    done = operations.flush(visit.fleet, visit.actor, order.queues)
    return msgspec.convert(done.document(), list[FlushedQueue])


def _pause(visit: Visit, order: PauseOrder) -> Paused:
    chosen = visit.choose(order.queues)
    return Paused(operations.pause(visit.fleet, visit.actor, chosen, order.reason))


def _resume(visit: Visit, order: QueuesOrder) -> Resumed:
    return Resumed(operations.resume(visit.fleet, visit.actor, visit.choose(order.queues)))


def _retry(visit: Visit, order: RetryOrder) -> MadeDue:
    chosen = visit.choose(order.queues)
    done = operations.retry_released(visit.fleet, visit.actor, chosen, order.batches)
    return MadeDue(done.changed, done.left, done.stopped, done.vanished)


FLUSH: Final = Action(
    "flush", "Send what queues hold now, whatever its age.", Right.OPERATE, QueuesOrder,
    list[FlushedQueue], _flush,
)  # fmt: skip
PAUSE: Final = Action(
    "pause", "Send nothing of queues until they are resumed.", Right.OPERATE, PauseOrder, Paused, _pause
)  # fmt: skip
RESUME: Final = Action(
    "resume", "Send again what paused or stopped queues hold.", Right.OPERATE, QueuesOrder, Resumed,
    _resume,
)  # fmt: skip
RETRY: Final = Action(
    "retry", "Send at once what VWO did not accept yet.", Right.OPERATE, RetryOrder, MadeDue, _retry
)
