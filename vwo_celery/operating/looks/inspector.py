"""The operator's look at queues: which there are, their shards, and a view of each.

Beside an event's way; delivery never imports it. Changes nothing: nothing to lose. It costs the same
whatever the queues hold: some hundreds of shards are looked at in one round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from vwo_celery.connections.errors import is_wrong_type
from vwo_celery.errors import QueueUnavailable, QueueUnknown
from vwo_celery.operating.looks.knowing import unless_wrong
from vwo_celery.operating.looks.views import Ledger, QueueView, views_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.declines import declines_of
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import count
from vwo_celery.text.wording import nearest

__all__ = [
    "Ledger",
    "QueueView",
    "choose",
    "registered_shards",
    "shards_of",
    "view_queues",
    "view_strays",
    "views_of",
]


def choose(
    registered: Mapping[str, Registration],
    names: Sequence[str],
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Registration]:
    """The queues of these names; all queues if no name is given.

    Raises:
        QueueUnknown: There is no such queue, and the message names the nearest; or its registration
            is one of the *unreadable*, and the message says why.
    """
    for name in names:
        if name in unreadable:
            raise QueueUnknown(f"queue {name!r}: {_cannot_be_read(unreadable[name])}")
        if name not in registered:
            begun = sorted(queue for queue in registered if queue.startswith(name))
            hint = f" (did you mean {begun[0]!r}?)" if begun else nearest(name, registered)
            raise QueueUnknown(
                f"no queue {name!r} is registered{hint}; "
                f"{count(len(registered), 'queue is', 'queues are')}, see: vwo-celery queues"
            )
    return {name: registered[name] for name in names} if names else dict(registered)


def shards_of(fleet: Fleet, registered: Mapping[str, Registration]) -> dict[str, list[Shard]]:
    """The shards of each queue, including watched ones that its registration no longer counts.

    Without those on a part of a Cluster found to be away, see `partly_away`.
    """
    return {queue: _living(fleet, those) for queue, those in _each_of(fleet, registered).items()}


def partly_away(fleet: Fleet, registered: Mapping[str, Registration]) -> list[str]:
    """The queues of which some shard, or all, is on a part of a Cluster found to be away."""
    found = _each_of(fleet, registered) if fleet.in_cluster else {}
    return [queue for queue, those in found.items() if len(_living(fleet, those)) < len(those)]


def _each_of(fleet: Fleet, registered: Mapping[str, Registration]) -> dict[str, list[Shard]]:
    numbers = {queue: set(range(found.shards)) for queue, found in registered.items()}
    for shard in _watched(fleet):
        if shard.queue in numbers:
            numbers[shard.queue].add(shard.number)
    return {
        queue: [fleet.shard(queue, number) for number in sorted(those)]
        for queue, those in numbers.items()
    }


def registered_shards(fleet: Fleet) -> list[Shard]:
    """The shards of every registered queue: for a look where the set of watched ones cannot be read.

    Raises:
        QueueUnavailable: Redis did not answer, or the list of queues is of a wrong type, too.
    """
    queues = shards_of(fleet, fleet.registrations().readable)
    return [shard for shards in queues.values() for shard in shards]


def _watched(fleet: Fleet) -> list[Shard]:
    """The watched shards; none if that set is of a wrong type, which hides strays alone."""
    return unless_wrong(fleet.watched, [])


def _living(fleet: Fleet, shards: list[Shard]) -> list[Shard]:
    """The shards that are not on a part of a Cluster found to be away, see `leave_parts_away`."""
    names = set(fleet.on_living_parts([shard.keys.name for shard in shards]))
    return [shard for shard in shards if shard.keys.name in names]


def view_queues(fleet: Fleet, registered: Mapping[str, Registration]) -> list[QueueView]:
    """A view of each registered queue; idle ones last, the latest first."""
    return view_queues_and_leases(fleet, registered)[0]


def view_queues_and_leases(
    fleet: Fleet, registered: Mapping[str, Registration]
) -> tuple[list[QueueView], int]:
    """The same, and the number of batches that workers hold: each keeps a lane busy."""
    queues = shards_of(fleet, registered)
    glances = take_glances([shard for shards in queues.values() for shard in shards])
    views = _with_declines(fleet, views_of(glances))
    in_order = sorted(views, key=lambda v: (v.idle, -v.late_seconds, -v.undelivered, v.queue))
    return in_order, sum(glance.leased_batches for glance in glances)


def _with_declines(fleet: Fleet, views: list[QueueView]) -> list[QueueView]:
    try:
        listeners = fleet.listeners()
        found = declines_of(fleet, listeners)
    except QueueUnavailable as exc:
        if not (fleet.in_cluster or is_wrong_type(exc)):
            raise
        return views  # the part with the notes is away, or somebody wrote another thing there
    return [
        replace(view, declines=those, declined_by_all=len(those) == len(listeners))
        if (those := found.get(view.queue))
        else view
        for view in views
    ]


def view_strays(
    fleet: Fleet,
    registered: Iterable[str],
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> list[QueueView]:
    """Views of queues that nobody can deliver: watched ones that hold something, and unreadable ones.

    Args:
        fleet: The queues.
        registered: Names of the queues whose registration can be read.
        unreadable: Why each other registration cannot be read, by the queue's name.
    """
    views = [
        view
        for view in views_of(take_glances(stray_shards(fleet, registered, unreadable)))
        if view.queue in unreadable or not view.idle
    ]
    return [replace(view, stray=_why_stray(unreadable.get(view.queue))) for view in views]


def stray_shards(
    fleet: Fleet,
    registered: Iterable[str],
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> list[Shard]:
    """The shards of the queues of `view_strays`, and of others that hold nothing."""
    known = set(registered)
    names = {shard.keys.name: shard for shard in _watched(fleet) if shard.queue not in known}
    firsts = [fleet.shard(queue, 0) for queue in unreadable if queue not in known]
    names |= {shard.keys.name: shard for shard in firsts}
    return _living(fleet, [names[name] for name in sorted(names)])


def _why_stray(unreadable: str | None) -> str:
    if unreadable is None:
        return "it is not registered; its application's next first event registers it"
    return _cannot_be_read(unreadable)


def _cannot_be_read(reason: str) -> str:
    return (
        f"its registration cannot be read by this release: {reason}; vwo-celery doctor says what "
        "to do"
    )
