"""Records of the demo's workers for its report: one line for each batch that VWO accepted.

Written by a receiver of `batch_delivered`, read by the demo.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

#: Variables: the file that a worker appends to (unset: it writes nothing), and its name there.
FILE_VARIABLE = "VWO_DEMO_DELIVERIES"
NAME_VARIABLE = "VWO_DEMO_NAME"


class Delivery(msgspec.Struct, frozen=True):
    """One batch that VWO accepted.

    Attributes:
        batch: Its name.
        attempt: 1 for the first.
        events: Number of events.
        worker: Name of the worker that sent it.
    """

    batch: str
    attempt: int
    events: int
    worker: str


def write_delivery(batch: str, attempt: int, events: int) -> None:
    """Append a line, if a file is named."""
    path = os.environ.get(FILE_VARIABLE)
    if not path:
        return
    delivery = Delivery(batch, attempt, events, os.environ.get(NAME_VARIABLE, ""))
    # One unbuffered write: lines of several processes do not mix.
    with open(path, "ab", buffering=0) as deliveries:
        deliveries.write(msgspec.json.encode(delivery) + b"\n")


def read_deliveries(path: Path) -> list[Delivery]:
    """All deliveries written so far; an unfinished line is left for the next call."""
    if not path.exists():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [msgspec.json.decode(line, type=Delivery) for line in whole.splitlines()]
