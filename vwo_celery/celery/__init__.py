"""The Celery adapter: tasks, the listener in each worker, publishing, shutdown.

Files, in reading order: `tasks` (and `setup`, which adds them to an app), `listener` (wake-ups become
tasks), `publisher` (a task message, sent without waiting for a broker that is away), `stopping` (the
shutdown flag), `broker` (the broker as the doctor sees it), `app` (a ready app, for fleets without
one). Translates, decides nothing.

A task message that is lost costs time only: the sweep finds what is due.
"""
