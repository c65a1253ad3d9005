"""Faults inflicted on a whole installation of real processes, and the fate of every event.

`python -m chaos.run` tries the rows of the fault matrix one by one; `python -m chaos.soak` tries
them in random order under load, for as long as wanted. In both, an oracle compares the promises to
applications with the events that VWO's stand-in accepted.
"""
