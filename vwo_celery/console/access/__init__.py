"""Who may come in, and what browsers may do with what they get: the console's safety.

Files: `headers` (what each answer carries), `origins` (which requests come from our own pages). Pure:
nothing to lose.
"""
