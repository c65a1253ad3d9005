"""Events on this host's disk while Redis does not take them, and their way back.

Files, in reading order: `fallback` (breaker, spool and drainer of a process), `breaker` (skip a
Redis in trouble), `spool` (one SQLite file as a queue), `database`, `files` and `pages` (its
parts), `drain` (a page's way to Redis), `drainer` (the thread that does it).

Events committed to the file survive the process; any other process of this host drains them. A page
keeps its idempotency mark on disk before it is sent, so a repeat stores nothing twice.
"""
