"""The queue's words: names and records that all its scripts and methods have in common.

Files, in reading order: `keys` (the names of all keys), `batches` (what is claimed, and its limits),
`registration` (how a queue is announced), `answers` (of the scripts that store), `marks` (which make a
repeated push harmless), `buckets` (in which ages and times are counted), `counts` (of an attempt),
`numbers` (as Redis keeps them).

Nothing here sends a command. If a process dies, nothing is lost but its marks, which Redis forgets.
"""
