"""What shadowed SDKs sent beside what our hook saw: does `attach` see exactly these events?

Beside an event's way; changes nothing: nothing to lose. A row agrees if every event that the hook saw
was sent by the SDK, lost by it, or is held by it, with the same contents. What each process told last
is of one moment, so rows also agree while events are under way, and where a process was killed.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.shadows import (
    KINDS,
    Process,
    RowName,
    Shadow,
    Sums,
    difference,
    read_shadow,
)

#: Silence after which a process counts as gone: three signs of life, and a slow answer.
SILENT_SECONDS: Final = 35.0

Verdict = Literal["same", "same so far", "differs"]


class ShadowRow(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one name and campaign.

    Attributes:
        queue: The queue that `attach` would use.
        event: The event's name; of a legacy one its kind.
        campaign: Its campaign, and of a conversion its goal; "" for none.
        sent: Events that the SDK sent, and took the answer for a success.
        lost: Events that the SDK lost, since their request failed.
        held: Events in the SDK's memory or requests when each process last told.
        hook: Events that our hook saw.
        inherited: Events in the SDK's memory when a process was forked, which each child sends again.
        difference: Events that the hook saw and the SDK did not take, or the reverse if negative.
        same_contents: Whether the contents agree; if not, and the numbers do, other events were seen.
        unsendable: Events, among all these, that no batch can carry.
        aside: Reports of the SDK's about itself, which it goes on sending by itself.
    """

    queue: str
    event: str
    campaign: str
    sent: int
    lost: int
    held: int
    hook: int
    inherited: int
    difference: int
    same_contents: bool
    unsendable: int
    aside: int

    @property
    def agrees(self) -> bool:
        """Whether both saw the same."""
        return self.difference == 0 and self.same_contents


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True):
    """All rows, and who counts.

    Attributes:
        verdict: "same so far" while SDKs hold events.
        since_ms: Unix ms at which counting began.
        running: Processes that count now.
        silent: Processes that did not tell for SILENT_SECONDS: killed, frozen, or cut off from Redis.
        ended: Processes that ended.
        unlisted: Processes beyond those that are listed one by one.
        hosts: Hosts of those that run.
        held_running: Events that SDKs of running processes held when they last told.
        held_gone: The same of processes that ended or are silent; an SDK that is killed loses them.
        heard_ms: Age of the oldest last call of a running process, in ms.
        rows: The rows, those that differ first.
    """

    verdict: Verdict
    since_ms: int
    running: int
    silent: int
    ended: int
    unlisted: int
    hosts: tuple[str, ...]
    held_running: int
    held_gone: int
    heard_ms: int
    rows: tuple[ShadowRow, ...]


def look_at_shadow(fleet: Fleet) -> ShadowReport | None:
    """Judge what was counted until now; None if nothing was.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    shadow = read_shadow(fleet)
    return None if shadow is None else report_on(shadow)


def report_on(shadow: Shadow) -> ShadowReport:
    """Judge what was counted."""
    rows = [_row(name, sums) for name, sums in shadow.rows.items()]
    rows.sort(key=lambda row: (row.agrees, row.queue, row.event, row.campaign))
    oldest_ms = shadow.now_ms - 1000 * SILENT_SECONDS
    running = [p for p in shadow.processes if p.state == "runs" and p.last_ms >= oldest_ms]
    gone = [p for p in shadow.processes if p not in running]
    silent = sum(process.state == "runs" for process in gone)
    return ShadowReport(
        verdict=_verdict(rows),
        since_ms=shadow.since_ms,
        running=len(running),
        silent=silent,
        ended=shadow.ended + len(gone) - silent,
        unlisted=shadow.unlisted,
        hosts=tuple(sorted({process.host for process in running})),
        held_running=_held(running),
        held_gone=_held(gone),
        heard_ms=max((shadow.now_ms - process.last_ms for process in running), default=0),
        rows=tuple(rows),
    )


def _row(name: RowName, sums: Sums) -> ShadowRow:
    events = {kind: one.events for kind, one in zip(KINDS, sums, strict=True)}
    left = difference(sums)
    return ShadowRow(
        **name._asdict(),
        sent=events["sent"],
        lost=events["lost"],
        held=events["held"],
        hook=events["hooked"],
        inherited=events["inherited"],
        difference=left.events,
        same_contents=bool(left.events) or not (left.low or left.high),
        unsendable=events["unsendable"],
        aside=events["aside"],
    )


def _held(processes: list[Process]) -> int:
    return sum(process.held for process in processes)


def _verdict(rows: list[ShadowRow]) -> Verdict:
    if not all(row.agrees for row in rows):
        return "differs"
    return "same so far" if any(row.held for row in rows) else "same"
