"""A process' sign of life on its own host: a file that it writes again and again.

Beside an event's way, for probes that must depend neither on Redis nor on the broker: a worker is
not restarted because something else is away. Nothing to lose: the next sign is written a second later.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

#: Age in seconds from which a worker counts as hung. Its listener writes in each turn, which lasts
#: about a second; what a turn waits for at most, a Redis or a broker that does not answer, ends sooner.
HUNG_SECONDS = 45.0


class SignOfLife(NamedTuple):
    """The last sign of a process: what it said, and how long ago, in seconds."""

    text: str
    age_seconds: float


def give_sign(path: Path, text: str) -> None:
    """Say that this process lives; a reader sees the sign before or this one, never a part.

    Args:
        path: Its file; the folder has to be there.
        text: What the process says of itself, such as its name.

    Raises:
        OSError: The file cannot be written.
    """
    written = path.with_name(f"{path.name}.{os.getpid()}.new")
    written.write_text(text, "utf-8")
    os.replace(written, path)


def read_sign(path: Path) -> SignOfLife | None:
    """The last sign in a file; None if there is none yet.

    Raises:
        OSError: The file cannot be read.
        UnicodeDecodeError: It is something else.
    """
    try:
        return SignOfLife(path.read_text("utf-8"), time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return None
