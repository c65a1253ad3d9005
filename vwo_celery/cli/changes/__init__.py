"""Commands that change queues, and how their events are sent.

Files, in reading order: `flush`, `pause` (and `resume`), `waiting` (`purge` and `retry`), `move`, `spool`
(`status` and `drain`), `jobs` (shown and stopped). If a command dies half-way, what it has not come to is
unchanged, and the same command goes on.
"""
