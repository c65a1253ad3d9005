"""A note on the parts of a Redis Cluster that are away, for the commands that show queues."""

from __future__ import annotations

import time
from collections.abc import Sequence

from vwo_celery.cli.output import say
from vwo_celery.queue.parts import Part, describe_away


def say_parts_away(parts: Sequence[Part]) -> None:
    """Print which parts are away, and since when."""
    for part in parts:
        say(describe_away(part, time.time()), "bold red")
