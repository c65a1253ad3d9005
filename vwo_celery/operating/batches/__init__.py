"""Batches and events one by one: which are meant, what they hold, and how they stand in files.

Files, in reading order: `filters` (which batches are meant), `payloads` (a filter's words on events),
`found` (what is shown of a batch), `finding` (those that a filter picks), `listing` (those of a queue by
their state), `grouping` (dead ones by why they died), `peeking` (the next events of a queue), `showing`
(events as people see them), `contradictions` (between events and a destination), `move_plans` (what a
move would do), `dead_files` and `new_files` (of exported dead letters). Nothing in Redis is changed:
nothing to lose.
"""
