"""What people see of queues and workers, at the same cost for any backlog.

Files, in reading order: `knowing` (what is known where a shared key is away or of a wrong type),
`inspector` (which queues there are), `views` (the contents of each), `stops` (why nothing is sent),
`ledgers` (proofs of the numbers), `losses` (that a producer noticed of late), `outside` (events
that are in no queue), `workers` (who they are), `lanes` (how many would find work), `relays`
(likewise who they are), `facts` (all that monitoring measures), `stalls` (do workers run tasks?),
`health` (do events leave in time?), `alive` (does the worker of this host turn?), `notes` (what is
wrong with one queue), `states` (the same in one word), `looking` (all of it at once), `following`
(outcomes as they happen), `shadows` (what shadowed SDKs sent beside what our hook saw). Nothing is
changed: nothing to lose.
"""
