"""Why events wait though they are due: VWO's answers so far, an open circuit, a pause, workers' settings.

Files, in reading order: `evidence` (a destination's answers so far), `circuit` (of one destination),
`pauses` (a worker's or an operator's), `declines` (workers that leave a queue to others).

All of it is shared by all workers. If a process dies here, a note is missing or outlives its writer,
and no event is lost.
"""
