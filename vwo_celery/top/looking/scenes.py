"""One look at everything that `top` shows. Pure data: nothing to lose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from vwo_celery.operating.looks.looking import Look
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.operating.past.history import QueueHistory
from vwo_celery.top.looking.rates import Speeds


class Scene(msgspec.Struct, frozen=True):
    """The fleet at one moment.

    Attributes:
        look: What each queue holds, and who works.
        speeds: Events delivered a second of late.
        history: The last hour of all queues together; None if it could not be read.
        focus: The last hour of the queue whose screen is open; None if none is.
        clock: The time of the look on this host's clock, such as "20:31:02".
        away: Which parts of a Redis Cluster are away, and which keys are of a wrong type, in words.
    """

    look: Look
    speeds: Speeds
    history: QueueHistory | None
    focus: QueueHistory | None
    clock: str
    away: tuple[str, ...] = ()

    @property
    def views(self) -> Mapping[str, QueueView]:
        """The queues by their names, those that need a person first."""
        return {view.queue: view for view in self.look.views}

    @property
    def waiting(self) -> int:
        """Events of all queues that are neither delivered, dropped nor dead."""
        return sum(view.undelivered for view in self.look.views)


class Trouble(NamedTuple):
    """Why Redis could not be asked, and what to do."""

    what: str
    remedy: str
