"""What programs are told, as structs: the same document from every door.

`vwo-celery … --json`, the console's API, Celery's control commands and pages read these, so one number
is the same everywhere. Files: `status` (what `status` shows), `queues` (where queues go), `health`,
`workers`, `jobs`. Reads only: nothing to lose.
"""
