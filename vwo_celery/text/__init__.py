"""The spelling of numbers, names and secrets in messages.

Files: `amounts` (counts, sizes, spans of time), `wording` (values from outside), `masking` (secrets).
Pure functions; nothing to lose.
"""
