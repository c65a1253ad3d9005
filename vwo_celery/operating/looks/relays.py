"""The relays of the fleet: how many processes there are, and what they took, refused and lost.

Beside an event's way. Read from their cards in Redis, which are kept for an hour. Changes nothing:
nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.relays import (
    GONE_SECONDS,
    RelayCard,
    RelayCounts,
    read_relay_cards,
)
from vwo_celery.text.amounts import count

__all__ = ["RelayCounts", "RelayView", "describe", "recent_of", "running", "view_relays"]


class RelayView(msgspec.Struct, frozen=True):
    """One process of a relay, running or lately ended.

    Attributes:
        process: Its name, host:pid-number.
        heard_age_seconds: Time since it last told of itself.
        is_running: Whether it has told of itself lately, and not that it ends.
        card: What it says of itself.
    """

    process: str
    heard_age_seconds: float
    is_running: bool
    card: RelayCard


def view_relays(fleet: Fleet) -> list[RelayView]:
    """The processes that told of themselves in the last hour, by name.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    cards, now_ms = read_relay_cards(fleet), fleet.now_ms()
    return [_view(name, now_ms - at_ms, card) for name, (at_ms, card) in sorted(cards.items())]


def _view(name: str, age_ms: int, card: RelayCard) -> RelayView:
    age = max(0, age_ms) / 1000
    return RelayView(name, age, age < GONE_SECONDS and not card.has_ended, card)


def running(relays: Iterable[RelayView]) -> list[RelayView]:
    """Those that run."""
    return [each for each in relays if each.is_running]


def recent_of(relays: Iterable[RelayView]) -> RelayCounts:
    """What all of them did within the last hour or so, also those that have ended since."""
    return _sum(each.card.recent for each in relays)


def describe(relays: Sequence[RelayView]) -> str:
    """One line: the processes that run, and what they have done since they began."""
    those = running(relays)
    done = _sum(each.card.counts for each in those)
    words = [
        f"{count(len(those), 'relay process', 'relay processes')}: {count(done.requests, 'request')}",
        f"{count(done.stored, 'event')} stored",
        *_some(done),
    ]
    return ", ".join(words)


def _some(done: RelayCounts) -> Iterator[str]:
    """What is worth a word only if there is any."""
    if done.spooled:
        yield f"{done.spooled:,} spooled"
    if done.refused:
        yield f"refused {in_words(done.refused)}"
    if done.lost:
        yield f"{sum(done.lost.values()):,} items that were no events"
    if done.folded:
        yield f"{done.folded:,} folded"
    asked = {word: number for word, number in done.settings.items() if word != "failed"}
    if asked:
        yield f"settings asked for {in_words(asked)}"
    left = done.left + done.cut
    if left:
        behind = f", {done.left_behind_proxy:,} of them behind a proxy"
        yield f"{count(left, 'client')} left early{behind if done.left_behind_proxy else ''}"


def in_words(numbers: Mapping[str, int]) -> str:
    """Numbers by reason, the largest first, such as "12 (access 10, large 2)"."""
    each = sorted(numbers.items(), key=lambda pair: (-pair[1], pair[0]))
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in each)
    return f"{sum(numbers.values()):,} ({reasons})"


def _sum(counts: Iterable[RelayCounts]) -> RelayCounts:
    total = RelayCounts()
    for each in counts:
        total = total.plus(each)
    return total
