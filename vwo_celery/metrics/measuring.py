"""One look at Redis as the families of the table; a Redis that does not answer is a number, too.

Beside an event's way. Whoever measures keeps nothing between two looks, so any number of them tell the
same, and none tells what is past. Changes nothing: nothing to lose.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

from vwo_celery.clocks import monotonic
from vwo_celery.connections import open_client
from vwo_celery.connections.errors import is_wrong_type
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import seldom
from vwo_celery.metrics.metric import Family, Reading, fold
from vwo_celery.metrics.table import METRICS
from vwo_celery.operating.looks.facts import read_facts
from vwo_celery.operating.looks.knowing import wrong_keys
from vwo_celery.queue.fleet import Fleet
from vwo_celery.settings import Settings

#: Longest wait for one answer of Redis; shorter than any monitoring waits for a scrape.
_TIMEOUT_SECONDS: Final = 3.0


class Source:
    """The queues of one namespace, looked at again and again; threads may share it.

    Args:
        settings: Redis, the namespace, and the most queues that are told of by name.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def _client(self) -> Any:
        return open_client(self.settings.redis_url, timeout_seconds=_TIMEOUT_SECONDS)

    def measure(self) -> list[Family]:
        """Look once; see `measure`."""
        return measure(Fleet(self._client, self.settings.namespace), self.settings)


def measure(fleet: Fleet, settings: Settings) -> list[Family]:
    """Look once at Redis, and tell every metric of the table that is known.

    Args:
        fleet: The queues.
        settings: For the most queues that are told of by name.
    """
    return families_of(read(fleet), settings.metrics_max_queues)


def read(fleet: Fleet) -> Reading:
    """Look once at Redis."""
    began = monotonic()
    # A fleet leaves a part of a Cluster that is away alone for good: each look has its own.
    fleet = Fleet(fleet.client, fleet.namespace)
    try:
        facts = read_facts(fleet)
    except QueueUnavailable as exc:
        seldom.warn("metrics", "metrics tell nothing of the queues: %s", _why(exc, fleet))
        return Reading(None, monotonic() - began)
    for each in facts.wrong_types:
        seldom.warn(each.key, "metrics lack what should be in a key: %s; %s", each, each.remedy)
    return Reading(facts, monotonic() - began)


def _why(exc: QueueUnavailable, fleet: Fleet) -> str:
    """The error, with the key of a wrong type where that is it."""
    if not is_wrong_type(exc):
        return str(exc)
    return "; ".join([str(exc), *(f"{each}; {each.remedy}" for each in wrong_keys(fleet))])


def families_of(reading: Reading, most_queues: int) -> list[Family]:
    """Every metric of the table with its points, those of queues beyond *most_queues* as one."""
    queues = () if reading.facts is None else reading.facts.queues
    is_few = len(queues) <= most_queues
    told = None if is_few else frozenset(queue.name for queue in queues[:most_queues])
    return [Family(each, fold(each, each.read(reading), told)) for each in METRICS]
