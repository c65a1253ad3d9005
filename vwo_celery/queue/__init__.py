"""The queue in Redis: each change of state is one script in `lua/` and one method here.

The only package that sends commands to Redis. Files, in reading order:

- words: `keys`, `registration` (how a queue is announced), `batches`, `answers` (of scripts), `marks`
  (which make a repeated push harmless);
- changes: `scripts` loads `lua/`, `pipelining` runs one for many shards, `shard` has one method for
  each script, `registering` writes registrations and `registry` reads them, `fleet` is all queues
  together, `signs` its signs of life, `cards` what its workers are, `parts` what goes on while a
  part of a Cluster is away, `circuit` one destination's circuit, `evidence` its answers so far,
  `declines` the workers that leave a queue to others, `routes` how far task messages have come,
  `capacity` drops events to make room, `picking` takes single events out of dead letters, `moving`
  takes batches from one queue to another, `handling` drops or hastens what waits, `forgetting` ends
  a queue that holds nothing, `pauses` stops queues for an operator, `audits` keeps who changed what,
  `jobs` what workers do for operators, `histories` samples of the counters, `reports` add up what no
  script saw;
- rooms: `work` (what takes several of these changes), `looks` (which change nothing).

A script runs as a whole or not at all, so a process that dies here leaves no half change. Marks
make up for a lost answer to a push, leases for one to a claim, the next sweep for a lost wake-up.
"""
