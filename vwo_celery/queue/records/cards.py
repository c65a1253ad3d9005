"""Workers' cards: what each worker that listens is, has been told, and does now.

Beside an event's way; owns the key `workers`. A worker writes its card each time that it notes that it
listens, and takes it away when it stops; the card of one that died is forgotten with its note. A card
holds no secret. Workers of releases before 0.2.0 have none. If the process dies here, a card may stay
for a while, which nobody is shown.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.keys import as_text
from vwo_celery.queue.words.registration import UNREADABLE


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One worker.

    Attributes:
        version: Its release of vwo_celery.
        python: Its release of Python.
        celery: Its release of Celery.
        pool: Name of its pool, such as "prefork".
        concurrency: Tasks that it can run at once.
        busy: Of these, how many deliver now.
        celery_queues: Celery queues that it consumes.
        started_ms: Unix ms at which it began to listen, by Redis' clock; 0 if not known.
        rss_bytes: Memory of its processes together, shared pages counted in each; 0 if not known.
        settings: Its settings, without secrets.
    """

    version: str = ""
    python: str = ""
    celery: str = ""
    pool: str = ""
    concurrency: int = 0
    busy: int = 0
    celery_queues: tuple[str, ...] = ()
    started_ms: int = 0
    rss_bytes: int = 0
    settings: dict[str, Any] = {}


def write_card(fleet: Fleet, name: str, card: Card) -> None:
    """Write the card of the worker that listens under *name*; missed if Redis does not take it."""

    def write() -> None:
        with unavailable("a worker's card"):
            fleet.brief.client.hset(fleet.keys.workers, name, msgspec.json.encode(card))

    fleet.hints.attempt(fleet.keys.workers, "a worker's card", write, None)


def forget_cards(fleet: Fleet, *names: str) -> None:
    """Forget these cards; without names, those of all workers that are gone."""

    def forget() -> None:
        gone = names or tuple(set(read_cards(fleet.brief)) - set(fleet.brief.heard_ms()))
        if gone:
            with unavailable("a worker's card"):
                fleet.brief.client.hdel(fleet.keys.workers, *gone)

    fleet.hints.attempt(fleet.keys.workers, "a worker's card", forget, None)


def read_cards(fleet: Fleet) -> dict[str, Card]:
    """The cards by the name of their worker, also of some that are gone; without any that is unreadable.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable("list of workers' cards"):
        found = fleet.client.hgetall(fleet.keys.workers)
    cards = {}
    for name, text in found.items():
        try:
            cards[as_text(name)] = msgspec.json.decode(text, type=Card)
        except UNREADABLE:  # of a later release
            continue
    return cards
