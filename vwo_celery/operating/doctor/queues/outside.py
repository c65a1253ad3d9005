"""The doctor's check of events that were dropped on their way to Redis, in the whole fleet.

A pure decision: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping

from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.operating.doctor.wording import names
from vwo_celery.operating.looks.outside import describe_unaccepted, is_recent, remedy_of
from vwo_celery.queue.looks.tallies import Tally, sum_tallies

#: Time in seconds after which a drop is no present trouble any more.
_PRESENT_SECONDS = 3600.0
#: Reasons that concern one event, not the way to Redis.
_OF_AN_EVENT = {"not_json", "not_an_object", "not_single", "too_large"}


def unaccepted_finding(tallies: Mapping[str, Tally], now_ms: int) -> Finding:
    """Judge the tallies of all queues."""
    total = sum_tallies(tallies.values())
    if not is_recent(total, now_ms):
        return ok("unaccepted", "no application told of an event that it dropped within a day")
    queues = names(queue for queue, tally in tallies.items() if is_recent(tally, now_ms))
    what = f"{describe_unaccepted(total, now_ms)}, of {queues}"
    if not {*total.latest_reasons} - _OF_AN_EVENT:
        return warn("VC642", what, remedy_of(total))
    present = now_ms - total.all_unaccepted.last_ms < 1000 * _PRESENT_SECONDS
    return (problem if present else warn)("VC641", what, remedy_of(total))
