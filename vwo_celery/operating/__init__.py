"""Views and actions for people: status, health, doctor, pause, redrive.

Files, in reading order: `inspector` (what each queue holds), `health` (does it leave in time?),
`stalls` (do workers take tasks?), `doctor/` (what is wrong, and the remedy), `operations` (what an
operator may change).

Looking changes nothing; each operation is one script a batch or queue, and may be repeated.
"""
