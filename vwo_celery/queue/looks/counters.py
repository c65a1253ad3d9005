"""Counters, pause and hold of one shard, as they stand in its meta hash.

Beneath `glances` and `snapshots`. Reads nothing itself: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vwo_celery.queue.holding.pauses import Pause, pauses_of
from vwo_celery.queue.looks.fields import texts_of
from vwo_celery.queue.looks.numbers import Numbers
from vwo_celery.queue.words.batches import Limits

_DROPPED, _DROP_FIRST, _DROP_LAST = "dropped:", "drop_first_ms:", "drop_last_ms:"
_DROPS = (_DROPPED, _DROP_FIRST, _DROP_LAST)


class Counters(msgspec.Struct, frozen=True):
    """What one shard counts and notes of itself.

    Attributes:
        limits: The shard's limits; None if the queue is not registered.
        open_events: Events in the open list.
        open_first_ms: Unix ms of the first of them; 0 if there is none, or no time was noted yet.
        open_counted: Events of the open list by the scripts' own count; more than it holds, if some
            of them vanished.
        accepted: Events ever accepted, including those that other programs pushed, and those that a
            move takes away now.
        leaving: Events of batches that a move takes away now.
        moved_out: Events that moves have taken away; no longer among the accepted ones.
        begun_ms: Unix ms of the shard's first registration; 0 for one of an older release.
        delivered: Events that VWO accepted.
        delivered_ms: Unix ms of the last delivery, 0 for never.
        counted_dead: Events in dead letters, by the scripts' own count.
        counted_released: Events of released batches, by the scripts' own count.
        dropped: Events dropped after they were accepted, by reason.
        drop_first_ms: Unix ms of the first drop, by reason; drops of older releases are not noted.
        drop_last_ms: Unix ms of the last drop, by reason.
        refused: Events refused at capacity; never accepted.
        counted_events: Undelivered events by the scripts' own count, including foreign ones.
        counted_bytes: Their size by the same count; foreign events are included once they are
            sealed.
        paused: Why the queue is paused, "" if it is not.
        paused_by: The cause of the pause, "" if it is not known.
        paused_ms: Unix ms of the pause, 0 if it is not known.
        pauses: Each cause of the pause, with who and when; the first one is the one above.
        held_until_ms: Unix ms before which nothing is claimed, as the circuit is open; else 0.
        held_by: The cause of the open circuit, "" if it is not known.
        held_why: The last failure that keeps it open, "" if it is not known.
        held_ms: Unix ms at which it opened, 0 if it is not known.
        free_since_ms: Unix ms at which a pause or an open circuit last ended, 0 for never.
        failing_ms: Unix ms of the first failure since VWO last accepted a batch; 0 if none failed.
        failed_ms: Unix ms of the last failure, 0 for never.
        failed_why: What it was, "" if none is known.
        receiver_errors: Receivers and callbacks that raised; counted in the first shard.
        redis_lost_ms: Unix ms at which a producer last noticed that Redis had lost events, 0 for
            never.
        forgotten_ms: Unix ms at which a producer noticed that Redis had forgotten the whole shard,
            0 for never; how much it held is unknown.
        repaired: Stranded batches that were made ready again.
        repaired_ms: Unix ms at which the last of them were, 0 for never.
        strange: Fields of the hash that are no numbers, though they should be.
    """

    limits: Limits | None
    open_events: int
    open_first_ms: int
    open_counted: int
    accepted: int
    leaving: int
    moved_out: int
    begun_ms: int
    delivered: int
    delivered_ms: int
    counted_dead: int
    counted_released: int
    dropped: dict[str, int]
    drop_first_ms: dict[str, int]
    drop_last_ms: dict[str, int]
    refused: int
    counted_events: int
    counted_bytes: int
    paused: str
    paused_by: str
    paused_ms: int
    pauses: tuple[Pause, ...]
    held_until_ms: int
    held_by: str
    held_why: str
    held_ms: int
    free_since_ms: int
    failing_ms: int
    failed_ms: int
    failed_why: str
    receiver_errors: int
    redis_lost_ms: int
    forgotten_ms: int
    repaired: int
    repaired_ms: int
    strange: tuple[str, ...]

    @property
    def registered(self) -> bool:
        """Whether the scripts know the queue's limits."""
        return self.limits is not None

    @property
    def wait_ms(self) -> int:
        """Longest wait of an event for others; 0 if the limits are not known."""
        return self.limits.wait_ms if self.limits else 0


def read_counters(
    meta: Mapping[bytes, bytes], open_events: int, leaving: int | None = None
) -> Counters:
    """The counters of a shard.

    Args:
        meta: Its meta hash.
        open_events: Length of its open list.
        leaving: Events of the batches that a move takes away now; None for the scripts' own count.
    """
    texts = texts_of(meta)
    numbers = Numbers(texts)
    # Events of another program are in the ledger as soon as they can be seen.
    unseen = max(0, open_events - numbers["open_events"])
    left = numbers["leaving"] if leaving is None else leaving  # not in the counters; see depart.lua
    delivered_ms, failing_ms = numbers["delivered_ms"], numbers["failing_ms"]

    drops = sorted(field for field in texts if field.startswith(_DROPS))

    def by_reason(prefix: str) -> dict[str, int]:
        found = [field for field in drops if field.startswith(prefix)]
        return {field.removeprefix(prefix): numbers[field] for field in found}

    return Counters(
        limits=numbers.limits(),
        open_events=open_events,
        open_first_ms=numbers["first_ms"] if numbers["open_events"] else 0,
        open_counted=numbers["open_events"],
        accepted=numbers["accepted"] + unseen + left,
        leaving=left,
        moved_out=numbers["moved_out"],
        begun_ms=numbers["begun_ms"],
        delivered=numbers["delivered"],
        delivered_ms=delivered_ms,
        counted_dead=numbers["dead"],
        counted_released=numbers["released_events"],
        dropped=by_reason(_DROPPED),
        drop_first_ms=by_reason(_DROP_FIRST),
        drop_last_ms=by_reason(_DROP_LAST),
        refused=numbers["refused"],
        counted_events=numbers["events"] + unseen + left,
        counted_bytes=numbers["bytes"],
        paused=texts.get("paused", ""),
        paused_by=texts.get("paused_by", ""),
        paused_ms=numbers["paused_ms"],
        pauses=pauses_of(texts),
        held_until_ms=numbers["held_until"],
        held_by=texts.get("held_by", ""),
        held_why=texts.get("held_why", ""),
        held_ms=numbers["held_ms"],
        free_since_ms=numbers["free_since_ms"],
        # A worker of an older release notes an acceptance, and does not end what fails.
        failing_ms=failing_ms if failing_ms >= delivered_ms else 0,
        failed_ms=numbers["failed_ms"],
        failed_why=texts.get("failed_why", ""),
        receiver_errors=numbers["receiver_errors"],
        redis_lost_ms=numbers["redis_lost_ms"],
        forgotten_ms=numbers["forgotten_ms"],
        repaired=numbers["repaired"],
        repaired_ms=numbers["repaired_ms"],
        strange=tuple(sorted({*numbers.strange})),
    )
