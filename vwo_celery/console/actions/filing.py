"""Dead letters as a file for whoever asks: what `vwo-celery dead import` takes, without the SDK key.

Removes nothing: nothing to lose. The file is made in memory, so it is bounded.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from vwo_celery.console.actions.action import Action
from vwo_celery.console.shared.dead import Found, find
from vwo_celery.console.shared.exchange import Response
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.rights import Right
from vwo_celery.operating import operations
from vwo_celery.operating.batches.dead_files import DeadLine
from vwo_celery.operating.batches.finding import SCAN_EVENTS
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.text.amounts import size

if TYPE_CHECKING:
    from vwo_celery.console.shared.visits import Visit

#: Most bytes of events that one file takes.
MOST_BYTES: Final = 32 * 1024 * 1024
#: A line of JSON for each batch.
KIND: Final = "application/jsonl"
_COMMAND: Final = "vwo-celery dead export writes them on its own host"


class ExportOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The dead letters that are meant.

    Attributes:
        filter: Which are meant; "" for all.
        scan_limit: Most events that `event:` and `visitor:` read.
    """

    filter: str = ""
    scan_limit: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = SCAN_EVENTS


def why_not(visit: Visit) -> Refusal | None:
    """What keeps a visitor from a file of events; None if nothing does."""
    if not visit.may(Right.PEEK):
        return Refusal(403, "a file holds events, which takes the right 'peek', too")
    if visit.settings.console_mask:
        return Refusal(
            403, "console_mask hides values of events here, and a file would hold them", _COMMAND
        )
    return None


def batches_of(found: Found) -> list[DeadBatch]:
    """The batches that a file is to hold.

    Raises:
        Refusal: There are none, not all were looked at, or they are too many for one file.
    """
    batches, total = [], 0
    for each in found.batches:
        batches.append(each)
        total += each.bytes
        if total > MOST_BYTES:
            raise Refusal(
                409, f"more than {size(MOST_BYTES)} of events match; nothing was exported",
                f"narrow the filter; {_COMMAND}, however many there are",
            )  # fmt: skip
    if found.search.not_looked_at:
        raise Refusal(409, "not all events could be looked at", f"narrow the filter; {_COMMAND}")
    if not batches:
        raise Refusal(409, "no dead letter matches; nothing was exported")
    return batches


def _export(visit: Visit, order: ExportOrder) -> Response:
    refusal = why_not(visit)
    if refusal is not None:
        raise refusal
    found = find(visit, order.filter, order.scan_limit)
    lines: list[bytes] = []
    batches = batches_of(found)
    registered = visit.choose(sorted({each.queue for each in batches}))
    operations.export_dead(
        visit.fleet, visit.actor, registered, batches, None,
        out=lines.append, hide_key=True, whole=True, filter=str(found.wanted),
    )  # fmt: skip
    at = datetime.fromtimestamp(visit.fleet.now_ms() / 1000, timezone.utc)
    name = f"dead-letters-{at:%Y%m%dT%H%M%SZ}.jsonl"
    headers = (("Content-Type", KIND), ("Content-Disposition", f'attachment; filename="{name}"'))
    return Response(200, headers, b"".join(lines))


EXPORT: Final = Action(
    "export", "Give dead letters as a file, which vwo-celery dead import takes.", Right.OPERATE,
    ExportOrder, DeadLine, _export, KIND,
)  # fmt: skip
