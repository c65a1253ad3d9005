"""Names of queues that the shell completes, from Redis, while somebody types.

A shell must not hang, nor print an error amid a line: Redis has a moment to answer, and what it does not
answer is not completed.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Thread

import click
from click.shell_completion import CompletionItem

from vwo_celery.cli.shared.session import Session
from vwo_celery.connections import open_client
from vwo_celery.queue.fleet import Fleet

#: Longest wait for Redis' answer, settings and connection included.
_ANSWER_SECONDS = 1.0


def complete_queue(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the queues whose names begin so; none if Redis does not answer at once."""
    found: list[str] = []

    def look() -> None:
        with suppress(Exception):  # an error has no place to be shown
            found.extend(_queues(context.ensure_object(Session)))

    thread = Thread(target=look, daemon=True)
    thread.start()
    thread.join(_ANSWER_SECONDS)
    return [CompletionItem(name) for name in sorted(found) if name.startswith(incomplete)]


def _queues(session: Session) -> list[str]:
    settings = session.settings
    client = open_client(settings.redis_url, timeout_seconds=_ANSWER_SECONDS / 2)
    readable, unreadable, *_ = Fleet(client, settings.namespace).registrations()
    return [*readable, *unreadable]


queue_argument = click.argument("queue", metavar="QUEUE", shell_complete=complete_queue)
