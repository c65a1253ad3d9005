"""What was: who changed what, what came and left, and what other batch sizes would have meant.

Files, in reading order: `audit` (who changed what), `history` (what came and left earlier), `planning`
(what it says about other batch sizes), `memory` (what Redis needs for an outage). A change writes to the
audit before and after; if its process dies in between, the first entry says so.
"""
