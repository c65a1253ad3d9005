"""Dead letters as a visitor asks for them, by a filter. Reads only: nothing to lose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.rights import Right
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import SCAN_EVENTS, Scan, find_dead
from vwo_celery.operating.batches.found import DeadBatch

if TYPE_CHECKING:
    from vwo_celery.console.shared.visits import Visit


class Found(NamedTuple):
    """What a filter picks.

    Attributes:
        wanted: The filter.
        batches: The batches, the newest first, found as they are asked for.
        search: What could not be looked at; whole once all batches are found.
    """

    wanted: Filter
    batches: Iterator[DeadBatch]
    search: Scan


def find(visit: Visit, text: str, scan_limit: int = SCAN_EVENTS) -> Found:
    """The dead letters that a filter picks.

    Args:
        visit: Who asks.
        text: The filter, as it was typed.
        scan_limit: Most events that its words on events read.

    Raises:
        FilterError: It cannot be read.
        QueueUnknown: It names a queue that is not there.
        Refusal: It asks about events, which this visitor may not see.
    """
    wanted = Filter.parse(text)
    if wanted.reads_events and not visit.may(Right.PEEK):
        raise Refusal(403, "event: and visitor: read events, which takes the right 'peek'")
    scan = Scan(scan_limit)
    return Found(wanted, find_dead(visit.fleet, visit.choose(wanted.queues), wanted, scan), scan)
