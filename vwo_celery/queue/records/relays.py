"""Relays' cards: what each process of a relay is, and how much it has done.

Beside an event's way; owns the keys `relays` and `relay_cards`. A process writes its card every few
seconds and once more as it ends; cards are kept for an hour, so that what a process met that has ended
can still be seen. A card holds no secret. If the process dies here, its last card stays for an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.scripts import script
from vwo_celery.queue.words.keys import as_text
from vwo_celery.queue.words.numbers import moment_ms
from vwo_celery.queue.words.registration import UNREADABLE

#: Time between two cards of a process, and the silence after which it counts as gone.
TELL_SECONDS: Final = 5.0
GONE_SECONDS: Final = 15.0
#: How long cards are kept, and how many at most.
KEPT_SECONDS: Final = 3600.0
_MOST_KEPT: Final = 500


class RelayCounts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much a relay has done, in requests or events.

    Attributes:
        requests: Requests that were read whole.
        stored: Events that Redis has.
        spooled: Events that a host's disk has.
        lost: Items of accepted batches that are no events, by reason.
        folded: Events that went to another destination of their SDK, since there were too many.
        refused: Requests that were answered with an error, by reason.
        reports: Reports of the SDKs on themselves, by what became of them: forwarded, queued,
            switched_off, and those that were lost: full, failed, ended, too_large.
        settings: Requests for settings by what they got: those that are fresh or stale, a refusal of
            VWO's, or none; and failed, those for which VWO was asked and gave none.
        gateway: Requests to VWO's gateway: answered or failed.
        left: Requests whose client had closed the connection before the answer.
        left_behind_proxy: Of these, requests that had come through a proxy.
        cut: Requests whose client closed the connection before their end; nothing of them is stored.
    """

    requests: int = 0
    stored: int = 0
    spooled: int = 0
    lost: dict[str, int] = {}
    folded: int = 0
    refused: dict[str, int] = {}
    reports: dict[str, int] = {}
    settings: dict[str, int] = {}
    gateway: dict[str, int] = {}
    left: int = 0
    left_behind_proxy: int = 0
    cut: int = 0

    def plus(self, other: RelayCounts) -> RelayCounts:
        """The sum of both."""
        return self._with(other, lambda one, two: one + two)

    def minus(self, earlier: RelayCounts) -> RelayCounts:
        """What has been added since."""
        return self._with(earlier, lambda one, two: max(0, one - two))

    def _with(self, other: RelayCounts, both: Callable[[int, int], int]) -> RelayCounts:
        found: dict[str, Any] = {}
        for name in self.__struct_fields__:
            mine, yours = getattr(self, name), getattr(other, name)
            if isinstance(mine, Mapping):
                words = {
                    word: both(mine.get(word, 0), yours.get(word, 0)) for word in {**mine, **yours}
                }
                found[name] = {word: number for word, number in words.items() if number}
            else:
                found[name] = both(mine, yours)
        return RelayCounts(**found)


class RelayCard(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a relay.

    Attributes:
        version: Its release of vwo_celery.
        listens: Address of its server; "" where it is mounted into another application.
        up_seconds: Time since it began to serve.
        has_ended: Whether it has ended, and this is its last card.
        has_spool: Whether it has a disk for events while Redis is away.
        batches: When its batches leave, by account, "" for all others: events and seconds; of the
            first accounts only.
        batches_digest: Digest of these of all accounts.
        counts: What it has done since it began.
        recent: What it has done in the last hour, or a little less.
    """

    version: str = ""
    listens: str = ""
    up_seconds: float = 0.0
    has_ended: bool = False
    has_spool: bool = True
    batches: dict[str, tuple[int, float]] = {}
    batches_digest: str = ""
    counts: RelayCounts = RelayCounts()
    recent: RelayCounts = RelayCounts()


def write_relay_card(fleet: Fleet, process: str, card: RelayCard) -> None:
    """Write the card of a process.

    Raises:
        QueueUnavailable: Redis does not take it.
    """
    keys = (fleet.keys.relays, fleet.keys.relay_cards)
    arguments = (process, msgspec.json.encode(card), int(KEPT_SECONDS * 1000), _MOST_KEPT)
    with unavailable("a relay's card"):
        script("relay").run(fleet.brief.client, keys, arguments)


def try_writing_relay_card(fleet: Fleet, process: str, card: RelayCard) -> None:
    """Write the card of a process; missed if Redis does not take it."""
    write = partial(write_relay_card, fleet, process, card)
    fleet.hints.attempt(fleet.keys.relays, "a relay's card", write, None)


def read_relay_cards(fleet: Fleet) -> dict[str, tuple[int, RelayCard]]:
    """The cards of the last hour by process, each with the Unix ms at which it was written.

    One that this release cannot read is left out.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable("list of relays"):
        heard = fleet.client.zrangebyscore(fleet.keys.relays, "-inf", "+inf", withscores=True)
        texts = fleet.client.hgetall(fleet.keys.relay_cards)
    cards = {}
    for name, at_ms in heard:
        try:
            cards[as_text(name)] = (
                moment_ms(at_ms),
                msgspec.json.decode(texts[name], type=RelayCard),
            )
        except (KeyError, *UNREADABLE):
            continue
    return cards
