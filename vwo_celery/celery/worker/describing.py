"""The card of this worker: what it is and does, as operators see it.

Read in the worker's main process, from Celery's worker and from the system; changes nothing. What a
pool does not tell is left out. Nothing to lose.
"""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import celery
import msgspec
from celery.worker import state

from vwo_celery.celery.options import DELIVER
from vwo_celery.queue.records.cards import Card
from vwo_celery.settings import Settings
from vwo_celery.settings.checks import without_secrets

#: How settings begin that are of another program.
_NOT_OURS = "console_"
#: Pools whose name on the command line is not that of their module.
_POOLS = {"thread": "threads"}


class Describing:
    """Describes one worker.

    Args:
        parent: Celery's worker.
        settings: The settings of its app.
    """

    def __init__(self, parent: Any, settings: Settings) -> None:
        self._parent = parent
        self._settings = _shown(settings)
        self.started_ms = 0

    def card(self) -> Card:
        """The worker as it is now."""
        return Card(
            version=_version(),
            python=platform.python_version(),
            celery=str(celery.__version__),
            pool=self._pool(),
            concurrency=self._concurrency(),
            busy=sum(request.name == DELIVER for request in list(state.active_requests)),
            celery_queues=self._queues(),
            started_ms=self.started_ms,
            rss_bytes=_rss_bytes(),
            settings=self._settings,
        )

    def _pool(self) -> str:
        pool = getattr(self._parent, "pool_cls", None)
        module = str(getattr(pool, "__module__", "")).rpartition(".")[2]
        return _POOLS.get(module, module)

    def _concurrency(self) -> int:
        with suppress(Exception):  # of a pool that does not tell
            return int(self._parent.pool.num_processes)
        return int(getattr(self._parent, "concurrency", None) or 0)

    def _queues(self) -> tuple[str, ...]:
        with suppress(Exception):  # of an app whose broker cannot be described
            return tuple(sorted(map(str, self._parent.app.amqp.queues.consume_from)))
        return ()


def _version() -> str:
    # The package above this one has it, and is loaded: nothing here may import it.
    return str(getattr(sys.modules.get("vwo_celery"), "__version__", ""))


def _shown(settings: Settings) -> dict[str, Any]:
    """Settings as plain values, without secrets, and without those of the console."""
    shown: dict[str, Any] = msgspec.to_builtins(settings)
    return {
        name: without_secrets(name, value)
        for name, value in shown.items()
        if not name.startswith(_NOT_OURS)
    }


def _rss_bytes() -> int:
    """Memory of this process and its children; 0 where the system does not tell it so (no /proc)."""
    pages = 0
    with suppress(OSError, ValueError):
        for pid in ("self", *_children()):
            with suppress(OSError):  # a child that has just ended
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def _children() -> list[str]:
    found: list[str] = []
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            found += children.read_text().split()
    return found
