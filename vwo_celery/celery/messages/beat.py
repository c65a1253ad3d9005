"""Beat's side of the sweep: is an earlier message still to be answered?

Beat is a backstop: workers' listeners sweep by themselves. It asks Redis within a bounded time; where
Redis does not answer, it sends. If it dies in here, one message more or less is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from weakref import WeakKeyDictionary

from celery import Celery

from vwo_celery.clocks import monotonic
from vwo_celery.connections import open_client
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.work import sweep_messages
from vwo_celery.queue.work.sweep_messages import beat_seconds
from vwo_celery.settings import Settings

#: Longest wait for Redis, in seconds: beat has other tasks to send.
_TIMEOUT_SECONDS = 1.0
#: Time for which a Redis that did not answer is not asked again, in seconds.
_REST_SECONDS = 60.0


class _Asker:
    """The connection of this process over which it asks."""

    def __init__(self, settings: Settings) -> None:
        client = open_client(settings.redis_url, timeout_seconds=_TIMEOUT_SECONDS)
        self.fleet = Fleet(client, settings.namespace)
        self.resting_until = 0.0


_askers: WeakKeyDictionary[Celery, _Asker] = WeakKeyDictionary()


@contextmanager
def asking(app: Celery, settings: Settings) -> Iterator[bool]:
    """Whether to send a sweep now; if the block then fails, no message counts as sent."""
    asker = _askers.get(app)
    if asker is None:
        asker = _askers[app] = _Asker(settings)
    may_send = _ask(asker, settings)
    try:
        yield may_send
    except Exception:
        with suppress(QueueUnavailable):  # the note is void after a while
            sweep_messages.answer(asker.fleet)
        raise


def _ask(asker: _Asker, settings: Settings) -> bool:
    if monotonic() < asker.resting_until:
        return True
    try:
        return sweep_messages.may_send(asker.fleet, interval_seconds=beat_seconds(settings))
    except QueueUnavailable:
        asker.resting_until = monotonic() + _REST_SECONDS
        return True
