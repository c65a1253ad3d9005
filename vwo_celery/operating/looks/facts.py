"""All that monitoring measures of the queues, read at once, at the same cost for any backlog.

Beside an event's way. Any number of programs may read it: nobody counts anything here, everything is
counted by the scripts that move the events. Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from vwo_celery.connections.errors import is_wrong_type
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.looks.inspector import shards_of, stray_shards
from vwo_celery.operating.looks.knowing import WrongType, wrong_keys
from vwo_celery.operating.looks.lanes import Lanes, lanes_of
from vwo_celery.operating.looks.outside import REMEDIES
from vwo_celery.operating.looks.views import QueueView, views_of
from vwo_celery.operating.looks.workers import WorkerView, differences, view_workers
from vwo_celery.queue.capacity import DEAD_LETTERS_FULL, OLDEST
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling.moving import EXPORTED
from vwo_celery.queue.handling.waiting import VANISHED
from vwo_celery.queue.holding.declines import declines_of
from vwo_celery.queue.looks.glances import Glance, take_glances
from vwo_celery.queue.looks.snapshots import REDIS_LOST
from vwo_celery.queue.looks.tallies import Tally, read_tallies, sum_tallies
from vwo_celery.queue.records.balances import Balances, read_balances
from vwo_celery.queue.servers.facts import ServerFacts, read_servers
from vwo_celery.queue.shard import PURGED, Shard
from vwo_celery.queue.words.buckets import AGE_BOUNDS_SECONDS, POST_BOUNDS_SECONDS, SIZE_BOUNDS
from vwo_celery.queue.words.counts import MATTERS
from vwo_celery.sending.outcomes import Failure

__all__ = [
    "AGE_BOUNDS_SECONDS", "ANSWERS", "DROP_REASONS", "POST_BOUNDS_SECONDS", "SIZE_BOUNDS",
    "UNACCEPTED_REASONS", "VERDICTS", "Facts", "QueueFacts", "read_facts",
]  # fmt: skip

Answer = TypeVar("Answer")
#: The closed lists of words by which numbers are told; docs/reference/outcomes.md has the answers.
ANSWERS: Final = (*map(str, range(100, 600)), *(each.value for each in Failure))
DROP_REASONS: Final = (DEAD_LETTERS_FULL, EXPORTED, OLDEST, PURGED, REDIS_LOST, VANISHED)
UNACCEPTED_REASONS: Final = tuple(REMEDIES)
VERDICTS: Final = MATTERS


class QueueFacts(msgspec.Struct, frozen=True):
    """One queue.

    Attributes:
        view: What it holds.
        shards: The look at each of its shards.
        tally: What was counted of its deliveries, and told by producers.
        imbalance: Events by which its ledger was out of balance when it was last proven; None if no
            sweep has proven any.
        declining: Listening workers that may not send it; None if that is not known.
    """

    view: QueueView
    shards: tuple[Glance, ...]
    tally: Tally
    imbalance: int | None
    declining: int | None

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.view.queue


class Facts(msgspec.Struct, frozen=True):
    """Everything that is measured; None is for what a part of a Cluster that is away hides,
    or a key of a wrong type.

    Attributes:
        queues: The queues in the order of their registration, then those that are not registered.
        workers: The workers that listen.
        lanes: Their lanes, and how many would find work.
        differing: Number of settings in which these workers differ, their release not counted.
        signs_ms: Unix ms of the last sweep by "beat" and by "listener", and of the last "task".
        wakeups: Wake-ups that no worker has picked up.
        proven_ms: Unix ms at which the ledgers were last proven; 0 for never.
        servers: What each Redis server tells of itself; empty where it may not be asked.
        is_whole: Whether every part of Redis answered.
        wrong_types: Keys that all queues share, and whose wrong type hides some of this.
    """

    queues: tuple[QueueFacts, ...]
    workers: list[WorkerView] | None
    lanes: Lanes
    differing: int | None
    signs_ms: dict[str, int] | None
    wakeups: int | None
    proven_ms: int
    servers: tuple[ServerFacts, ...]
    is_whole: bool = True
    wrong_types: tuple[WrongType, ...] = ()


def read_facts(fleet: Fleet) -> Facts:
    """Read everything that is measured, in some ten round trips.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    away = fleet.leave_parts_away()
    names = _shards(fleet)
    shards = [shard for those in names.values() for shard in those]
    glances, tallies = take_glances(shards), read_tallies(shards)
    workers = _known(fleet, lambda: view_workers(fleet))
    declining = _declining(fleet, workers)
    balances = _known(fleet, lambda: read_balances(fleet))
    signs_ms, wakeups = _known(fleet, fleet.signs_ms), _known(fleet, fleet.waiting_wakeups)
    watched = _known(fleet, fleet.watched_names)
    # A viewer may not ask for types, so nobody asks where all is known.
    hides = None in (workers, declining, balances, signs_ms, wakeups, watched)
    balances = balances or Balances(0, 0, {})
    return Facts(
        queues=tuple(_queues(names, glances, tallies, declining, balances)),
        workers=workers,
        lanes=lanes_of(glances, workers),
        differing=None if workers is None else _differing(workers),
        signs_ms=signs_ms,
        wakeups=wakeups,
        proven_ms=balances.proven_ms,
        servers=_servers(fleet),
        is_whole=not away,
        wrong_types=wrong_keys(fleet) if hides else (),
    )


def _shards(fleet: Fleet) -> dict[str, list[Shard]]:
    """The shards of each queue: of registered ones, and of others that hold something."""
    found = fleet.registrations()
    shards = shards_of(fleet, found.readable)
    for shard in stray_shards(fleet, *found):
        shards.setdefault(shard.queue, []).append(shard)
    return shards


def _queues(
    names: Mapping[str, Sequence[Shard]],
    glances: Sequence[Glance],
    tallies: Sequence[Tally],
    declining: Mapping[str, int] | None,
    balances: Balances,
) -> list[QueueFacts]:
    looks = iter(zip(glances, tallies, strict=True))
    queues = []
    for queue, shards in names.items():
        found = [next(looks) for _ in shards]
        if not found:
            continue  # on a part of a Cluster that is away
        imbalance = sum(balances.imbalances.get(shard.keys.name, 0) for shard in shards)
        queues.append(
            QueueFacts(
                view=views_of(glance for glance, _ in found)[0],
                shards=tuple(glance for glance, _ in found),
                tally=sum_tallies(tally for _, tally in found),
                imbalance=imbalance if balances.proven_ms else None,
                declining=None if declining is None else declining.get(queue, 0),
            )
        )
    return sorted(queues, key=_registered_first)


def _registered_first(queue: QueueFacts) -> tuple[bool, int, str]:
    """The order of registration; queues that a release before 0.2.0 registered come first."""
    first = queue.shards[0]
    return not first.registered, first.begun_ms, queue.name


def _declining(fleet: Fleet, workers: Sequence[WorkerView] | None) -> dict[str, int] | None:
    if workers is None:
        return None
    names = [each.worker for each in workers]
    found = _known(fleet, lambda: declines_of(fleet, names))
    return None if found is None else {queue: len(those) for queue, those in found.items()}


def _differing(workers: Sequence[WorkerView]) -> int:
    return sum(each.what != "version" for each in differences(workers))


def _servers(fleet: Fleet) -> tuple[ServerFacts, ...]:
    found = _known(fleet, lambda: read_servers(fleet.client, ask_config=False)) or []
    return tuple(each for each in found if not each.info_refused)


def _known(fleet: Fleet, ask: Callable[[], Answer]) -> Answer | None:
    """What *ask* tells; None if that is on a part of a Cluster that is away, or of a wrong type.

    Raises:
        QueueUnavailable: There is one server, and it did not answer.
    """
    try:
        return ask()
    except QueueUnavailable as exc:
        if not (fleet.in_cluster or is_wrong_type(exc)):
            raise
        return None
