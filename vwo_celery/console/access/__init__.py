"""Who may come in, and what browsers may do with what they get: the console's safety.

Files, in reading order: `headers` (what each answer carries), `origins` (which requests come from our
own pages), `guard` (who asks for `vwo-celery web`), with `credentials` (its file), `throttle` (of those
who guess) and `hosts` (by which names it may be asked for). If the process dies here, counts of wrong
guesses are lost.
"""
