"""What every request is measured by: who may send, how much, and what is answered.

Files, in reading order: `access` (accounts and keys), `limits` (what a request may cost) and `answers`
(what SDKs get). Nothing to lose.
"""
