"""What operators do to events and queues beyond `shard`'s methods: dropped, hastened, moved, forgotten.

Files, in reading order: `waiting` (drops or hastens what waits), `picking` (takes single events out
of dead letters), `moving` (takes batches from one queue to another), `forgetting` (ends a queue that
holds nothing).

Each change is one script, and a process that dies here leaves no half change of a shard.
"""
