"""The queue in Redis: each change of state is one script in `lua/` and one method here.

The only package that sends commands to Redis. Files, in reading order:

- `words`: the names and records that all of it has in common (keys, batches, marks and others);
- changes: `scripts` loads `lua/`, `pipelining` runs one for many shards, `storing` stores events in
  a shard, `gates` many at once, `shard` has one method for each other script (`calls` of those that
  every batch takes), `notices` is what a push writes of all queues' keys, `registering` writes
  registrations and `registry` reads them, `fleet` is all queues together, `signs` its signs of
  life, `parts` what goes on while a part of a Cluster is away, `routes` how far task messages have
  come, `capacity` drops events to make room;
- rooms on these: `holding` (why events wait), `handling` (what operators do to them), `records` (what
  is written beside them);
- rooms on top: `work` (what takes several of these changes), `looks` (which change nothing), `servers`
  (Redis itself).

A script runs as a whole or not at all, so a process that dies here leaves no half change. Marks
make up for a lost answer to a push, leases for one to a claim, the next sweep for a lost wake-up.
"""
