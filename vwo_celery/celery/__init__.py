"""The Celery adapter: tasks, the listener in each worker, publishing, shutdown.

Files, in reading order: `setup` (adds vwo_celery to an app), `options` (of every task and message),
`quiet` (sweeps stay out of the logs), `log_lines` (logs as JSON), `control` (commands of `celery inspect`
and `celery control`), `app` (a ready app, for fleets without one).

Rooms on these: `messages` (how a task's message is sent, and which are not ours), `broker` (what is asked
of it), and on top `worker` (what a worker does: tasks, listener, shutdown). Translates, decides nothing.

A task message that is lost costs time only: the sweep finds what is due.
"""
