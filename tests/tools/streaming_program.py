"""A producer in a process of its own: enqueues without pause until SIGTERM and prints each receipt.

Run by `under_load.LoadedInstallation.stream`.
"""

from __future__ import annotations

import json
import queue as queues
import signal
import sys
from typing import Any

import vwo_celery
from tools.installation import event

#: Pause between two events: short enough that events are on their way when Redis fails.
_PAUSE_SECONDS = 0.004


def stream(options: dict[str, Any]) -> None:
    """Enqueue until SIGTERM; print a line for each event: its name, where it went, and why."""
    # A handler may call put() during get(); Event.set() during wait() could deadlock.
    ending: queues.SimpleQueue[None] = queues.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: ending.put(None))
    queue = vwo_celery.connect(
        vwo_celery.Destination(**options["destination"]),
        batch_event_data=options["batch"],
        **options["settings"],
    )
    number = 0
    while not _has_come(ending):
        name = f"{options['name']}-{number}"
        receipt = queue.enqueue(event(name))
        _tell(name, receipt.where, receipt.reason or "-")
        number += 1
    _tell("ended", "-", "-")


def _tell(*words: str) -> None:
    """Print a line in one piece: the drainer's thread logs to the same file at the same time."""
    sys.stdout.write(" ".join(words) + "\n")


def _has_come(ending: queues.SimpleQueue[None]) -> bool:
    """Whether SIGTERM has come, after a pause."""
    try:
        ending.get(timeout=_PAUSE_SECONDS)
    except queues.Empty:
        return False
    return True


if __name__ == "__main__":
    stream(json.loads(sys.argv[1]))
