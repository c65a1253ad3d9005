"""One row of the fault matrix, and what the faults share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import msgspec

from chaos.fleet import Fleet
from chaos.kit import EVENTS_PER_REQUEST, PARALLEL_SENDS, Kit, Traffic
from vwo_celery.queue.fleet import Fleet as Queues

Infliction = Callable[[Fleet], AbstractContextManager[None]]

#: Longest wait for the moment at which a fault is inflicted.
SOON_SECONDS = 20.0
#: Pause between two acts of a fault that acts again and again.
REPEAT_SECONDS = 0.1

#: Events in flight at once: most that may be repeated if all leases are lost.
IN_FLIGHT = PARALLEL_SENDS * EVENTS_PER_REQUEST
#: Longest enqueue with the default enqueue_timeout_seconds of 250 ms, on a busy machine.
_LONGEST_ENQUEUE_MS = 1_500.0
_RECOVER_SECONDS = 30.0


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One fault and its promise.

    Attributes:
        name: Name for `chaos.run`.
        fault: Description of the fault.
        inflict: Enters and leaves the fault.
        seconds: Its duration.
        kit: Parts of the fleet.
        traffic: Load of the applications.
        settings: Variables of the applications.
        leases_lost: Most events whose repeat a lost lease explains. Repeats explained by a lost
            answer of VWO are always allowed, others never.
        dropped: Whether receipts or the ledger may say that events are dropped.
        repeated: Whether clients of a relay have to send again; else none may have to.
        dead: Whether events become dead letters: "none", "poison" (all of those, and no others), or
            "any".
        loss: Effect of Redis' own loss: "none" is allowed, its events are "counted" in the ledger, or
            the fact is "noted" there.
        most_requests: Most requests to VWO during the fault; None for any number.
        least_requests: Fewest requests to VWO during the fault, since delivery must go on.
        longest_enqueue_ms: Longest call of an application.
        recover_seconds: Longest time from healing to the end of the backlog.
        soak: Whether the soak may choose it.
    """

    name: str
    fault: str
    inflict: Infliction
    seconds: float = 3.0
    kit: Kit = Kit()
    traffic: Traffic = Traffic()
    settings: dict[str, str] = {}
    leases_lost: int = 0
    dropped: bool = False
    repeated: bool = False
    dead: str = "none"
    loss: str = "none"
    most_requests: int | None = None
    least_requests: int = 0
    longest_enqueue_ms: float = _LONGEST_ENQUEUE_MS
    recover_seconds: float = _RECOVER_SECONDS
    soak: bool = True


OWN_BROKER = Kit(own_broker=True)
#: Too few events to fill a batch: each leaves by age, once a second.
TRICKLE = Traffic(per_second=4, burst=0)


@contextmanager
def nothing(fleet: Fleet) -> Iterator[None]:
    """No fault, for comparison."""
    yield


def queues_of(fleet: Fleet) -> Queues:
    """The queues in Redis, read beside the fleet."""
    return Queues(fleet.client, "vwo")


@contextmanager
def again_and_again(act: Callable[[], Any], pause_seconds: float) -> Iterator[None]:
    """Call *act* at every pause, in a thread, until the block ends."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(pause_seconds):
            act()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def all_of(*inflictions: Infliction) -> Infliction:
    """Several faults at once."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        with ExitStack() as stack:
            for each in inflictions:
                stack.enter_context(each(fleet))
            yield

    return infliction
