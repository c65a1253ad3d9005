"""Events outside of Redis, as the processes of the whole fleet told of them.

Beside an event's way: what producers dropped before Redis accepted it, and what went to a host's
disk and back. Numbers are of those processes that have reached Redis since; see
`queue.looks.tallies`. Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vwo_celery.operating.looks.inspector import shards_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.tallies import Tally, read_tallies, sum_tallies
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import count, span

__all__ = [
    "Tally", "describe_unaccepted", "is_recent", "remedy_of", "sum_tallies", "view_tallies",
]  # fmt: skip

#: Time after which dropped events are past, in seconds.
RECENT_SECONDS: Final = 86_400.0
#: The way out, by reason.
REMEDIES: Final[Mapping[str, str]] = {
    "redis_unavailable": "see why Redis was away (its log; vwo-celery doctor), and give "
    "applications a spool_dir that they can write to, where events wait for Redis",
    "spool_full": "raise max_spool_bytes, and see why Redis was away for so long",
    "spool_oldest": "raise max_spool_bytes, and see why Redis was away for so long",
    "queue_full": "see why the queue does not drain, or raise max_queue_events and max_queue_bytes",
    "too_large": "make the event smaller; the application's log says which it was",
    "not_json": "correct the call; the application's log says what JSON cannot hold",
    "not_an_object": "correct the call; an event is one JSON object, such as a dict",
    "not_single": "such a queue takes requests to events/t of its own account and key only; see "
    "vwo_celery.producing.singles",
    "internal_error": "report the lines that the application's log has of it",
}


def view_tallies(fleet: Fleet, registered: Mapping[str, Registration]) -> dict[str, Tally]:
    """The tally of each queue.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    queues = shards_of(fleet, registered)
    found = iter(read_tallies([shard for shards in queues.values() for shard in shards]))
    return {queue: sum_tallies(next(found) for _ in shards) for queue, shards in queues.items()}


def is_recent(tally: Tally, now_ms: int) -> bool:
    """Whether an event was dropped within a day."""
    last_ms = tally.all_unaccepted.last_ms
    return bool(last_ms) and now_ms - last_ms < 1000 * RECENT_SECONDS


def describe_unaccepted(tally: Tally, now_ms: int) -> str:
    """The latest drops as a phrase: how many, since when, until when, and why."""
    told = tally.all_unaccepted
    first, last = (span(max(0, now_ms - ms) / 1000) for ms in (told.since_ms, told.last_ms))
    ever = told.events - told.recent_events
    return (
        f"{count(told.recent_events, 'event')} dropped on the way to Redis "
        f"({', '.join(tally.latest_reasons)}), the first {first} ago, the last {last} ago"
        + (f"; {ever:,} earlier" if ever else "")
    )


def remedy_of(tally: Tally) -> str:
    """What to do about the latest drops, for each of their reasons."""
    told = (
        REMEDIES.get(each, f"see the application's log for {each}") for each in tally.latest_reasons
    )
    return "; ".join(dict.fromkeys(told))
