"""Celery's broker, looked at: for the doctor, and for what a worker's log says when it starts.

Files, in reading order: `facts` (all that the doctor asks), `target` (the Celery queue of our tasks),
`tls` (what TLS to the broker does not check), `alarm` (whether RabbitMQ takes messages). Nothing is
changed: nothing to lose.
"""
