"""Values of batch_event_data: what it comes to by default, a struct of options, and callbacks."""

from __future__ import annotations

import dataclasses
from typing import Any

from vwo_celery.settings.batch_event_data import BatchSettings

REAL_TIME = BatchSettings(events_per_request=1, request_time_interval=600.0)
DEFAULTS = BatchSettings(events_per_request=100, request_time_interval=600.0)


def on_flush(error: object, events: object) -> None:
    """A callback that a worker can import."""


async def on_flush_async(error: object, events: object) -> None:
    """An async callback; the parser accepts it, although nobody would await it."""


class Reports:
    """A class with callbacks of every kind."""

    @staticmethod
    def on_flush(error: object, events: object) -> None:
        """Importable under two names."""

    @classmethod
    def on_flush_of_class(cls, error: object, events: object) -> None:
        """Bound to the class."""

    def on_flush_of_object(self, error: object, events: object) -> None:
        """Bound to an object."""

    def __call__(self, error: object, events: object) -> None:
        """An object that can be called."""


HERE = on_flush.__module__


@dataclasses.dataclass
class Options:
    """Options as a dataclass."""

    events_per_request: Any = None
    request_time_interval: Any = None
    flush_callback: Any = None
