"""Work made of several changes to the queue; each change is one script, run by a method beyond here.

Files, in reading order: `pushes` (one round trip of a producer), `replication` (waits for
replicas), `sweeping` (seals by age, wakes workers), `sweep_messages` (which beat sends), `proving`
(what is stored against what is counted), `stranded` (batches that are in no state), `succession` (an
ack and the next claim in one packet), `settlements` (the fate of batches), `awaiting` (one shard's
part of a flush), `obstacles` (why events are still pending), `flushing` (seals now, watches until
delivered), `rousing` (sees that a worker lives), `moves` (a batch to another queue), `departures`
(moves that ended early), `results` (published by workers), `tailing` (which follows them).

A process that dies between two changes leaves the work half done, never a change: the next sweep, or
a repeat of the push under its mark, does the rest.
"""
