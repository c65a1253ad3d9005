"""Views and actions for people: status, health, doctor, pause, redrive.

Files, in reading order: `inspector` (which queues there are), `views` (the contents of each), `ledgers`
(proofs of them), `notes` (what is wrong with one), `looking` (all of it at once), `outside` (events
that are in none), `stops` (why nothing is sent), `health` (do events leave in time?), `stalls` (do
workers run tasks?), `workers` (who they are), `doctor/` (faults and remedies), `filters` (which batches
are meant), `payloads` (a filter's words on events), `batches` (one by one), `finding` (those that a
filter picks), `peeking` (the next events of a queue), `following` (outcomes as they happen), `audit`
(who changed what), `contradictions` (between events and a destination), `moves` (what a move would do),
`dead_files` and `new_files` (of exported dead letters), `operations/` (changes), `jobs` (those that
workers do), `history` (what came and left earlier), `planning` (what other batch sizes would have
meant).

Looking changes nothing; each operation is one script a batch or queue, and may be repeated.
"""
