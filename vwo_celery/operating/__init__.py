"""Views and actions for people: status, health, doctor, pause, redrive.

Rooms, in reading order: `looks` (what is there, at one cost for any backlog), `batches` (batches and
events one by one), `past` (who changed what, what came and left), `doctor` (faults and remedies),
`operations` (changes), `documents` (what programs are told, the same from every door).

Looking changes nothing; each operation is one script a batch or queue, and may be repeated.
"""
