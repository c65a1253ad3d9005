"""Commands that show, one in each file.

In reading order: `status`, `doctor`, `health`, `ledger`, `history`, `plan`, `queues`, `peek`, `tail`,
`workers`, `audit`, `shadow_report`. The changes among them are `queues forget`, which asks first, and
`shadow-report --reset`, which forgets no event.
"""
