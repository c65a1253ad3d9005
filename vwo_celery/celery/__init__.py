"""The Celery adapter: tasks, the listener in each worker, publishing, shutdown.

Files, in reading order: `setup` (adds vwo_celery to an app), `tasks` on events' way, `background` (the
one for operators' bulk work), their base class `task`, `options` (of every task and message),
`misdirected` (messages of another fleet), `beat` (when it leaves a sweep out), `listener` (wake-ups
become tasks), `absence` (Redis is away, in its log), `publisher` (a task message, sent without waiting
for a broker that is away), `stopping` (the shutdown flag), `names` (the worker's name), `describing`
(its card), `quiet` (sweeps stay out of the logs), `log_lines` (logs as JSON), `broker_tls` (what TLS to
the broker does not check), `broker` (the broker as the doctor sees it), `broker_alarm` (whether
RabbitMQ takes messages), `target` (the Celery queue of our tasks), `control` (commands of `celery
inspect` and `celery control`), `app` (a ready app, for fleets without one). Translates, decides
nothing.

A task message that is lost costs time only: the sweep finds what is due.
"""
