"""What the demo's workers write down for its report: a line for each batch that VWO accepted.

Place: adapters, the demo. Written by a receiver of `batch_delivered`, read by the demo.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

#: File that a worker appends its lines to, and the worker's name in them; no file, no lines.
FILE_VARIABLE = "VWO_DEMO_DELIVERIES"
NAME_VARIABLE = "VWO_DEMO_NAME"


class Delivery(msgspec.Struct, frozen=True):
    """One batch that VWO accepted.

    Attributes:
        batch: Its name.
        attempt: 1 for the first try.
        events: Number of events.
        worker: Name of the worker that sent it.
    """

    batch: str
    attempt: int
    events: int
    worker: str


def write_delivery(batch: str, attempt: int, events: int) -> None:
    """Append a line, if there is a file for it."""
    path = os.environ.get(FILE_VARIABLE)
    if not path:
        return
    delivery = Delivery(batch, attempt, events, os.environ.get(NAME_VARIABLE, ""))
    # One unbuffered write: lines of several processes do not mix.
    with open(path, "ab", buffering=0) as deliveries:
        deliveries.write(msgspec.json.encode(delivery) + b"\n")


def read_deliveries(path: Path) -> list[Delivery]:
    """All that was written so far; a line that is being written is left for later."""
    if not path.exists():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [msgspec.json.decode(line, type=Delivery) for line in whole.splitlines()]
