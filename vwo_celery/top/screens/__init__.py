"""The screens of `top`, one for each page.

Files, in reading order: `overview` (verdict, charts, queues), `verdict` (all that the doctor found),
`queue` (one queue: numbers, ledger, batches), `batch` (its events), `event` (one event), `dead` (dead
letters by a filter), `workers`, `audit` (who changed what), `help` (keys). Nothing to lose.
"""
