"""The queue in Redis: each change of state is one script in `lua/` and one method here.

The only package that sends commands to Redis. Files, in reading order:

- words: `keys`, `registration` (a queue as it is announced), `batches`, `marks` (what makes a
  repeated push harmless);
- changes: `scripts` loads `lua/`, `shard` has a method a script, `fleet` is all queues together,
  `circuit` one destination's circuit, `capacity` makes room;
- work on many shards: `pushes` (one round trip of a producer), `replication` (waits for replicas),
  `sweeping` (seal by age, wake workers), `flushing` (seal now, watch until delivered), `results`
  (what workers publish), `snapshots` (a shard as it is now), `surveys` (many shards
  in one round trip), `servers` (what a server says of itself).

A script runs whole or not at all, so a process that dies here leaves no half change. A lost answer is
made up for by marks (pushes), leases (claims) and the next sweep (wake-ups).
"""
