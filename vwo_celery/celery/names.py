"""The name under which a worker listens, the same in all of its processes.

The operators' commands show it; a child of the pool signs its notes with it. Nothing is lost with the
process. Children that were not forked have a name of their own.
"""

from __future__ import annotations

from vwo_celery.delivering.worker import process_name


class WorkerName:
    """The name of this worker; call it to get it."""

    def __init__(self) -> None:
        self._name = ""

    def __call__(self) -> str:
        """The main process' name, host:pid; without a main process that of this one."""
        return self._name or process_name()

    def prepare(self) -> None:
        """Take this process' name; to be called in the main process before its pool forks."""
        self._name = process_name()


#: The name of this worker.
worker_name = WorkerName()
