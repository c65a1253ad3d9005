"""`vwo-celery dead`: dead letters, shown, made, sent again, dropped, kept in files.

Files, in reading order: `group` (the command that these belong to), `choosing` (options by which
batches are picked), `listing` (`list` and `show`), `adding` (`add`), `changing` (`redrive` and
`purge`, of many batches), `picking` (of single events) and `filing` (`export` and `import`). Only
`purge` drops anything, and it asks first. If the command dies half-way, the batches it has not come
to are unchanged.
"""

from __future__ import annotations

from vwo_celery.cli.dead import adding, changing, filing, listing
from vwo_celery.cli.dead.group import dead

__all__ = ["adding", "changing", "dead", "filing", "listing"]
