"""What each action would do, before anybody does it; `asking` shows it. Pure: nothing to lose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from vwo_celery.console.pages.dead_plans import (
    export,
    purge,
    purge_events,
    redrive,
    redrive_events,
    stop,
)
from vwo_celery.console.pages.plan import Plan
from vwo_celery.console.pages.sending_plans import flush, pause, resume, retry
from vwo_celery.console.shared.visits import Visit

#: The plan of each action, by the action's name.
PLANS: Final[Mapping[str, Callable[[Visit], Plan]]] = MappingProxyType(
    {
        "flush": flush,
        "pause": pause,
        "resume": resume,
        "retry": retry,
        "redrive": redrive,
        "purge": purge,
        "redrive-events": redrive_events,
        "purge-events": purge_events,
        "export": export,
        "stop": stop,
    }
)
