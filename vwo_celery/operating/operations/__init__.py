"""Every change that an operator can make: one function each, which every door calls.

The command line, Django's management command and Celery's control commands translate words into
these calls, and print what they return. Each takes the `Actor` who asks for it, and records itself
in the audit, before and after. Files, in reading order: `pausing` (pause, resume), `flushing`
(flush), `bulk` (many batches: count, pace and brake), `dead_letters` (add_dead, redrive, purge),
`picking` (pick_out: single events of one), `draining` (drain_spool), `moving` (move, to another
destination), `filing` (export_dead, import_dead), `forgetting` (forget: queues that hold nothing),
`waiting` (purge_waiting, retry_released), `jobs` (bulk work that workers do), `stopping` (stop_job),
`shadowing` (reset_shadow: what shadowed SDKs sent), `waking` (workers, for what is due now),
`failures` (of one queue among several).

Each change is one script a batch or queue, and may be repeated: a process that dies here leaves the
rest as it was, and the same call goes on from there.
"""

from vwo_celery.operating.operations.bulk import (
    Amount,
    Brake,
    Counted,
    Done,
    Order,
    Pace,
    count_dead,
)
from vwo_celery.operating.operations.dead_letters import add_dead, purge, redrive
from vwo_celery.operating.operations.draining import drain_spool
from vwo_celery.operating.operations.filing import Exported, Imported, export_dead, import_dead
from vwo_celery.operating.operations.flushing import NOT_AWAITED, Flushed, flush
from vwo_celery.operating.operations.forgetting import Forgotten, forget, look_at_forgettable
from vwo_celery.operating.operations.moving import Moved, move
from vwo_celery.operating.operations.pausing import pause, resume
from vwo_celery.operating.operations.picking import pick_out
from vwo_celery.operating.operations.shadowing import reset_shadow
from vwo_celery.operating.operations.stopping import stop_job
from vwo_celery.operating.operations.waiting import (
    WAITING_STATES,
    Chosen,
    CountedWaiting,
    WaitingState,
    count_waiting,
    purge_waiting,
    retry_released,
)
from vwo_celery.queue.work.flushing import FlushCounts

__all__ = [
    "NOT_AWAITED", "WAITING_STATES", "Amount", "Brake", "Chosen", "Counted", "CountedWaiting", "Done",
    "Exported", "FlushCounts", "Flushed", "Forgotten", "Imported", "Moved", "Order", "Pace",
    "WaitingState", "add_dead", "count_dead", "count_waiting", "drain_spool", "export_dead",
    "flush", "forget", "import_dead", "look_at_forgettable", "move", "pause", "pick_out", "purge",
    "purge_waiting", "redrive", "reset_shadow", "resume", "retry_released", "stop_job",
]  # fmt: skip
