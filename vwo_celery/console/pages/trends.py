"""How a fleet, or a queue, goes: its rates now, and its numbers against those of a while ago.

Pure decisions on histories: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from vwo_celery.console.charts.spelling import short
from vwo_celery.operating.past.history import Step
from vwo_celery.text.amounts import span

#: Time over which a rate of now is taken, and the one that a number is compared with, in seconds.
_NOW_SECONDS: Final = 180.0
NOW_WORDS: Final = span(_NOW_SECONDS)
_BEFORE_SECONDS: Final = 900.0
#: Share by which a rate differs if it differs at all.
_SAME: Final = 0.1


class Trend(msgspec.Struct, frozen=True):
    """How it goes.

    Attributes:
        accepted_a_second: Events accepted a second, now; None if that is not known.
        delivered_a_second: Events delivered a second, now; None if that is not known.
        accepted_against: That rate against the one of before; "" if that is not known.
        delivered_against: The same of what was delivered.
        undelivered_against: Undelivered events against before.
        dead_against: Dead events against before.
    """

    accepted_a_second: float | None = None
    delivered_a_second: float | None = None
    accepted_against: str = ""
    delivered_against: str = ""
    undelivered_against: str = ""
    dead_against: str = ""


def trend_of(steps: Sequence[Step]) -> Trend:
    """How it goes by these steps, the oldest first."""
    if not steps:
        return Trend()
    end_ms = steps[-1].at_ms
    recent = [each for each in steps if end_ms - each.at_ms < 1000 * _NOW_SECONDS]
    earlier = [each for each in steps if end_ms - each.at_ms >= 1000 * _NOW_SECONDS]
    accepted, delivered = _rate(recent, "accepted"), _rate(recent, "delivered")
    return Trend(
        accepted_a_second=accepted,
        delivered_a_second=delivered,
        accepted_against=_against(accepted, _rate(earlier, "accepted"), earlier),
        delivered_against=_against(delivered, _rate(earlier, "delivered"), earlier),
        undelivered_against=_grown(steps, "undelivered", "undelivered "),
        dead_against=_grown(steps, "dead"),
    )


def _rate(steps: Sequence[Step], name: str) -> float | None:
    known = [each for each in steps if getattr(each, name) is not None]
    seconds = sum(each.seconds for each in known)
    return sum(getattr(each, name) for each in known) / seconds if seconds else None


def _against(now: float | None, before: float | None, earlier: Sequence[Step]) -> str:
    """A rate against the one of the time before; "" where one of them is not known."""
    if now is None or before is None:
        return ""
    ago = span(sum(each.seconds for each in earlier))
    if abs(now - before) <= _SAME * max(now, before):
        return f"as in the {ago} before"
    return f"{'▲' if now > before else '▼'} {short(before)} a second in the {ago} before"


def _grown(steps: Sequence[Step], name: str, what: str = "") -> str:
    """A number against the one of about a quarter of an hour ago, or of the oldest step."""
    last = steps[-1]
    before = max(
        (each for each in steps if last.at_ms - each.at_ms >= 1000 * _BEFORE_SECONDS),
        key=lambda each: each.at_ms, default=steps[0],
    )  # fmt: skip
    ago = (last.at_ms - before.at_ms) / 1000
    if not ago:
        return ""
    grown = getattr(last, name) - getattr(before, name)
    if not grown:
        return f"{what}unchanged in {span(ago)}"
    return f"{'▲' if grown > 0 else '▼'} {abs(grown):,} {what}in {span(ago)}"
