"""Faults inflicted on a whole installation of real processes, and what became of every event.

`python -m chaos.run` tries the rows of the fault matrix one by one, `python -m chaos.soak` tries
them in random order under load that goes on for as long as wanted. Both are told by an oracle that
compares what applications were promised with what VWO's stand-in accepted.
"""
