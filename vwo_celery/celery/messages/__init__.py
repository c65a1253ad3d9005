"""Messages of our tasks: how they are sent, which are left out, and which belong to another fleet.

Files, in reading order: `publisher` (one message, sent without waiting for a broker that is away), `beat`
(when it leaves a sweep out), `misdirected` (messages of another fleet). A message that is lost costs time
only: the sweep finds what is due.
"""
