"""Events on this host's disk while Redis does not take them, and their way back.

Files, in reading order: `fallback` (breaker, spool and drainer of a process), `breaker` (skip a
Redis in trouble), `spool` (all files of a Redis and namespace), `spool_file` (one of them, a queue
in SQLite), `database`, `forking`, `tables`, `files`, `pages`, `locks` and `trust` (their parts),
`drain` (a page's way to Redis), `drainer` (the thread that does it), `reporter` (tells Redis how
many were spooled, drained or dropped), `diary` (tells the application's log).

Events committed to a file survive the process; any other process of this host drains them. A page
keeps its idempotency mark on disk before it is sent, so a repeat stores nothing twice.
"""
