"""How messages spell numbers, names and secrets.

Files: `amounts` (counts, sizes, spans), `wording` (values of others in our sentences), `masking`
(what must not be shown). Pure functions; there is nothing to lose.
"""
