"""The spelling of numbers, names and secrets in messages.

Files: `amounts` (counts, sizes, spans of time), `moments` (since when), `wording` (values from
outside), `lines` (the same, safe for terminals and logs), `masking` (secrets), `plain` (plain values
out of subclasses).
Pure functions; nothing to lose.
"""
