"""Events on this host's disk while Redis does not take them, and their way back.

Files, in reading order: `fallback` (spool or Redis?), `breaker` (leave a dead Redis alone), `spool`
(one SQLite file as a queue), `database`, `files` and `pages` (its parts), `drain` (a page's way to
Redis), `drainer` (the thread that does it).

What was committed to the file survives the process; another process of this host drains it. A page
keeps its idempotency mark on disk before it is sent, so a repeat stores nothing twice.
"""
