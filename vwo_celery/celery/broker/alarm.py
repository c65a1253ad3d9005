"""Whether RabbitMQ takes no messages, as during its alarms on memory and disk.

It then accepts connections and answers, and reads nothing more from whoever publishes; it says so in a
message of its own. Asked by the doctor, which publishes one message that reaches no queue: nothing
to lose.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from celery import Celery

#: Longest wait for the word that it takes nothing, in seconds; it comes at once.
_ANSWER_SECONDS: Final = 1.0
#: A name that no queue has.
_NOWHERE: Final = "vwo_celery.nowhere"


def alarm_of(app: Celery, connect_seconds: int) -> str:
    """Why RabbitMQ takes no messages; "" if it does, and for other brokers.

    Raises:
        Exception: The transport's own; it cannot be reached.
    """
    told: list[str] = []
    plain = app.connection_for_write()
    if plain.transport_cls not in ("amqp", "amqps", "pyamqp", "pyamqps"):
        return ""
    options = {
        **(plain.transport_options or {}),
        "on_blocked": told.append,
        "read_timeout": connect_seconds,
        "write_timeout": connect_seconds,
    }
    connection = app.connection_for_write(
        connect_timeout=connect_seconds, transport_options=options
    )
    try:
        connection.ensure_connection(max_retries=1, timeout=connect_seconds)
        channel: Any = connection.default_channel
        channel.basic_publish(channel.prepare_message(b"{}"), exchange="", routing_key=_NOWHERE)
        with suppress(TimeoutError, OSError):
            connection.drain_events(timeout=_ANSWER_SECONDS)
    finally:
        connection.collect()  # to close it in order would wait for a broker that reads nothing
    return told[0] if told else ""
