"""What a worker does for us: our tasks in its pool, the listener in its main process, its shutdown.

Files, in reading order: `tasks` on events' way, `background` (the one for operators' bulk work), their
base class `task`, `listener` (wake-ups become tasks), `absence` (Redis is away, in its log), `names` (the
worker's name), `describing` (its card), `stopping` (the shutdown flag).

Batches are in Redis, under leases. If a worker dies, other workers send what it held.
"""
