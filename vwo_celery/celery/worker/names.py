"""The name under which a worker listens, the same in all of its processes, and of no other worker.

The operators' commands show it; a child of the pool signs its notes with it. Nothing is lost with the
process. Children that were not forked have a name of their own.
"""

from __future__ import annotations

import secrets

from vwo_celery.delivering.worker import process_name


class WorkerName:
    """The name of this worker; call it to get it."""

    def __init__(self) -> None:
        self._name = ""

    def __call__(self) -> str:
        """The main process' name, host:pid-start; without a main process host:pid of this one."""
        return self._name or process_name()

    def prepare(self) -> None:
        """Take a new name; to be called in the main process before its pool forks.

        In containers a worker has host and pid of the one that it replaces, whose notes are not its
        own: the other workers would go on believing that it declines a queue.
        """
        self._name = f"{process_name()}-{secrets.token_hex(2)}"


#: The name of this worker.
worker_name = WorkerName()
