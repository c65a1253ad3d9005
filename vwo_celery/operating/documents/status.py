"""The document of `status`: what each queue holds, what is wrong with it, and who works.

Made of one look; reads nothing itself. Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from vwo_celery.operating.looks.looking import Look
from vwo_celery.operating.looks.notes import is_wrong
from vwo_celery.operating.looks.outside import Tally, sum_tallies
from vwo_celery.operating.looks.relays import RelayView
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.queue.parts import Part
from vwo_celery.settings import Settings
from vwo_celery.text.masking import mask_url


class QueueStatus(QueueView, frozen=True, kw_only=True):
    """One queue: its view, and what is derived from it.

    Attributes:
        told_apart_by: Words that tell it from other queues of its account, "" for none.
        interval_seconds: The registered request_time_interval; 0 where every event leaves at once; None
            if the queue is not registered.
        registered: Whether workers know where its events go.
        wrong: Whether something is wrong with it.
        producers: What processes told of events that no script saw.
    """

    told_apart_by: str
    interval_seconds: float | None
    registered: bool
    wrong: bool
    producers: Tally


class PartAway(msgspec.Struct, frozen=True):
    """A part of a Redis Cluster that is away.

    Attributes:
        name: Address of its master, "HOST:PORT".
        silent_since_ms: Unix ms of its last sign of life; 0 if unknown.
    """

    name: str
    silent_since_ms: int


class WrongKey(msgspec.Struct, frozen=True):
    """A key that all queues share, and that is not what it should be.

    Attributes:
        key: Its name.
        found: Its Redis type.
        wanted: The type that it should have.
        remedy: What to do.
    """

    key: str
    found: str
    wanted: str
    remedy: str


class Status(msgspec.Struct, frozen=True):
    """All that `status` shows.

    Attributes:
        redis: The URL of the Redis that holds the queues, masked.
        namespace: First part of every key.
        now_ms: Redis' time, Unix ms.
        wrong: Whether something is wrong.
        listeners: Names of the workers that listen; None, as the next three, if that is not known,
            since the part of a Cluster that has it is away, or it is one of `wrong_types`.
        heard_age_seconds: Time since each was last heard.
        last_sweeps_ms: Unix ms of the last sweep, by "beat" and by "listener".
        waiting_wakeups: Wake-ups that no worker has picked up yet.
        relays: Processes of relays, running or ended within an hour; None if that is not known.
        parts_away: Parts of a Redis Cluster that are away.
        wrong_types: Keys that all queues share and that are of a wrong type: what should be in them is
            not known.
        producers: What processes told of events that no script saw, of all queues together.
        idle_queues: Number of queues that hold nothing.
        queues: Each queue, those that need a person first.
    """

    redis: str
    namespace: str
    now_ms: int
    wrong: bool
    listeners: list[str] | None
    heard_age_seconds: dict[str, float] | None
    last_sweeps_ms: dict[str, int] | None
    waiting_wakeups: int | None
    relays: list[RelayView] | None
    parts_away: list[PartAway]
    wrong_types: list[WrongKey]
    producers: Tally
    idle_queues: int
    queues: list[QueueStatus]


def status_of(shown: Look, settings: Settings, away: Sequence[Part] = ()) -> Status:
    """The document of a look.

    Args:
        shown: The look.
        settings: Those that led to the queues.
        away: Parts of a Redis Cluster that were away.
    """
    heard = shown.heard
    return Status(
        redis=mask_url(settings.redis_url),
        namespace=settings.namespace,
        now_ms=shown.now_ms,
        wrong=shown.wrong,
        listeners=None if heard is None else [each.name for each in heard],
        heard_age_seconds=None if heard is None else {h.name: h.silent_seconds for h in heard},
        last_sweeps_ms=shown.sweeps_ms,
        waiting_wakeups=shown.wakeups,
        relays=shown.relays,
        parts_away=[PartAway(*part) for part in away],
        wrong_types=[WrongKey(*each, each.remedy) for each in shown.wrong_types],
        producers=sum_tallies(shown.tallies.values()),
        idle_queues=sum(view.idle for view in shown.views),
        queues=queue_statuses(shown),
    )


def queue_statuses(shown: Look) -> list[QueueStatus]:
    """Each queue of a look."""
    return [_queue_status(view, shown) for view in shown.views]


def _queue_status(view: QueueView, shown: Look) -> QueueStatus:
    own: Mapping[str, object] = {name: getattr(view, name) for name in view.__struct_fields__}
    return QueueStatus(
        **own,  # type: ignore[arg-type]
        told_apart_by=shown.apart.get(view.queue, ""),
        interval_seconds=view.interval_seconds,
        registered=view.limits is not None and not view.stray,
        wrong=is_wrong(shown.notes[view.queue]),
        producers=shown.tallies.get(view.queue, Tally()),
    )
