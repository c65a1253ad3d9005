"""Every change that the console offers, as data: its name, what it takes, who may, what it does.

A form of a page posts to `do/<name>`, a program to `api/v1/<name>`; both lead to the same `Action`,
which calls `operating.operations` and answers with the document that `vwo-celery … --json` prints.
Files: `action` (what an action is), `sending` (when queues are sent), `dead` (dead letters), `filing` (a
file of them), `jobs` (bulk work under way). If the process dies in here, what was changed stays so, and
the same action does the rest.
"""

from __future__ import annotations

from typing import Final

from vwo_celery.console.actions.action import Action, Change, tell_nobody
from vwo_celery.console.actions.dead import PURGE, PURGE_EVENTS, REDRIVE, REDRIVE_EVENTS
from vwo_celery.console.actions.filing import EXPORT
from vwo_celery.console.actions.jobs import STOP
from vwo_celery.console.actions.sending import FLUSH, PAUSE, RESUME, RETRY

__all__ = ["ACTIONS", "Action", "Change", "tell_nobody"]

#: The actions by their names.
ACTIONS: Final = {
    each.name: each
    for each in (
        FLUSH, PAUSE, RESUME, RETRY, REDRIVE, REDRIVE_EVENTS, PURGE, PURGE_EVENTS, EXPORT, STOP,
    )
}  # fmt: skip
