"""Commands that show, one in each file.

In reading order: `status`, `doctor`, `health`, `ledger`, `history`, `plan`, `queues`, `peek`, `tail`,
`workers`, `audit`. The one change among them is `queues forget`, which asks first.
"""
