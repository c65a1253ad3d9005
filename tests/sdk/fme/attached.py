"""An attached client, as applications of several files start it, and the names of its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

ATTACHED = """
import vwo
client = vwo.init(OPTIONS)
queue = vwo_celery.attach(client, redis_url=REDIS_URL)
"""


def names(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """The events' names."""
    return [event["d"]["event"]["name"] for event in events]
