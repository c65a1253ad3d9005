"""The workers that listen: what each of them is and does, and in what they differ.

Beside an event's way. Read from their cards in Redis, so it needs no broker and waits for no worker.
Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.listening import Listening, listening, spell
from vwo_celery.queue.records.cards import Card, read_cards

__all__ = ["NO_CARD", "Listening", "listening", "spell"]

#: Release that a worker without a card is of.
NO_CARD = "before 0.2.0"
#: Settings in which the workers of one fleet may well differ.
_OWN = frozenset(
    ("redis_url", "broker_url", "spool_dir", "max_spool_bytes", "enqueue_timeout_seconds", "log_format")
)  # fmt: skip


class WorkerView(msgspec.Struct, frozen=True):
    """One worker that listens.

    Attributes:
        worker: The name under which it listens, host:pid-start.
        heard_age_seconds: Time since it was last heard; a worker that was killed is shown for a
            while.
        up_seconds: Time since it began to listen; None if it is not known.
        card: What it says of itself; None for a release before 0.2.0, which writes no card.
    """

    worker: str
    heard_age_seconds: float
    up_seconds: float | None
    card: Card | None

    @property
    def version(self) -> str:
        """Its release of vwo_celery."""
        return NO_CARD if self.card is None else self.card.version


class Difference(msgspec.Struct, frozen=True):
    """Something in which workers differ.

    Attributes:
        what: "version", or the name of a setting.
        values: The names of the workers with each value, in their order; a value is written as JSON.
    """

    what: str
    values: dict[str, tuple[str, ...]]


def view_workers(fleet: Fleet) -> list[WorkerView]:
    """The workers that listen, by name.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    before, cards = set(fleet.heard_ms()), read_cards(fleet)
    heard, now_ms = fleet.heard_ms(), fleet.now_ms()  # again: one that stops loses its card
    return [_view(name, heard[name], cards.get(name), now_ms) for name in sorted(before & {*heard})]


def _view(name: str, heard_ms: int, card: Card | None, now_ms: int) -> WorkerView:
    up = None
    if card is not None and card.started_ms:
        up = max(0, now_ms - card.started_ms) / 1000
    return WorkerView(name, max(0, now_ms - heard_ms) / 1000, up, card)


def differences(workers: Sequence[WorkerView]) -> list[Difference]:
    """In what these workers differ, and matter to one another: their release first, then settings.

    A worker without a card takes part only in the first; a setting that one release does not have,
    in none.
    """
    versions = [(each.worker, each.version) for each in workers]
    told = [each for each in workers if each.card is not None]
    names = sorted({name for each in told for name in _settings(each)} - _OWN)
    facts = [("version", versions)]
    facts += [(name, list(_of(told, name))) for name in names]
    found = [Difference(what, _by_value(pairs)) for what, pairs in facts]
    return [each for each in found if len(each.values) > 1]


def _settings(worker: WorkerView) -> dict[str, Any]:
    return worker.card.settings if worker.card is not None else {}


def _of(workers: Sequence[WorkerView], setting: str) -> Iterator[tuple[str, Any]]:
    return (
        (each.worker, _settings(each)[setting]) for each in workers if setting in _settings(each)
    )


def _by_value(pairs: Sequence[tuple[str, Any]]) -> dict[str, tuple[str, ...]]:
    values: dict[str, tuple[str, ...]] = {}
    for worker, value in pairs:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        values[text] = (*values.get(text, ()), worker)
    return values
