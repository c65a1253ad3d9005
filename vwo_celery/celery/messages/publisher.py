"""Publish tasks within a bounded time, whatever state Celery's broker is in.

A broker that hangs would block its callers, so this keeps connections of its own,
with timeouts. A task is only a hint: if it is not published, the caller leaves the wake-up to the
listeners, and nothing is lost.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from celery import Celery
from kombu.pools import producers

from vwo_celery.clocks import monotonic
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import SeldomLog
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.text.masking import mask_url

#: Longest wait for a connection, and for one answer.
_TIMEOUT_SECONDS = 2.0
#: Headers that tell a message's route and time of publishing.
ROUTE_HEADER, PUBLISHED_HEADER = "vwo_route", "vwo_published_ms"
#: Pause before a broker that failed is asked again.
_REST_SECONDS = 5.0
#: Options for any transport: without them kombu pauses and connects a second time.
_ONCE = {"max_retries": 0}
_REDIS = {**_ONCE, "socket_timeout": _TIMEOUT_SECONDS, "socket_connect_timeout": _TIMEOUT_SECONDS}
_AMQP = {**_ONCE, "read_timeout": _TIMEOUT_SECONDS, "write_timeout": _TIMEOUT_SECONDS}
_BOUNDS: dict[Any, Mapping[str, float]] = {
    **dict.fromkeys(("redis", "rediss", "sentinel", "redis+socket"), _REDIS),
    **dict.fromkeys(("amqp", "amqps", "pyamqp", "pyamqps"), _AMQP),
}


def bounded_connection(app: Celery) -> Any:
    """A connection to the broker of *app* that waits for nothing longer than a few seconds."""
    return app.connection_for_write(
        connect_timeout=_TIMEOUT_SECONDS,
        transport_options=dict(_BOUNDS.get(app.connection_for_write().transport_cls, _ONCE)),
    )


class Publisher:
    """Publishes `deliver` tasks; one for each process, safe under threads and greenlets.

    Args:
        app: The app whose broker takes the tasks.
        task: Name of the task.
        options: Options of every message.
        note: Notes in Redis that a message is published on the route named, see
            `Fleet.note_published`.
    """

    def __init__(
        self, app: Celery, task: str, options: Mapping[str, Any], note: Callable[[str], int]
    ) -> None:
        self._app = app
        self._task = task
        self._options = dict(options)
        self._note = note
        self._resting_until = 0.0
        self._seldom = SeldomLog()
        plain = app.connection_for_write()
        self._broker = mask_url(plain.as_uri())
        celery_queue = options.get("queue") or app.conf.task_default_queue
        self._route = f"{celery_queue}@{zlib.crc32(self._broker.encode()):08x}"
        self._connection = bounded_connection(app)

    def publish(self, wakeup: Wakeup) -> bool:
        """Publish a `deliver` task; return False, within seconds, if the broker does not take it."""
        if monotonic() < self._resting_until:
            return False
        try:
            self._send(wakeup)
        except Exception as exc:  # each transport has errors of its own
            self._resting_until = monotonic() + _REST_SECONDS
            self._seldom.warn(
                "broker", "the broker %s takes no task: %s: %s; see whether it runs. Until it does, "
                "each worker's listener sends by itself, one batch at a time",
                self._broker, type(exc).__name__, exc,
            )  # fmt: skip
            return False
        return True

    def _send(self, wakeup: Wakeup) -> None:
        options = {**self._options, "headers": self._headers()}
        with producers[self._connection].acquire(block=True, timeout=_TIMEOUT_SECONDS) as producer:
            try:
                self._app.send_task(
                    self._task,
                    args=(wakeup.queue, wakeup.shard, wakeup.token),
                    argsrepr=f"({wakeup.queue!r}, {wakeup.shard})",  # the token tells nobody anything
                    producer=producer,
                    retry=False,
                    ignore_result=True,
                    **options,
                )
            except Exception:
                with suppress(Exception):  # the next task gets a new connection
                    producer.connection.collect()
                raise

    def _headers(self) -> dict[str, Any]:
        """The headers of a message that is published now; without its time if Redis takes no note."""
        headers = dict(self._options.get("headers", {}))
        with suppress(QueueUnavailable):
            headers |= {ROUTE_HEADER: self._route, PUBLISHED_HEADER: self._note(self._route)}
        return headers
