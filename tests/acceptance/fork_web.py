"""A web application that has used its queue before gunicorn forks it: `gunicorn --preload
fork_web`.

Its master stores an event when the module is imported, and another before each fork: its connection
is open and in use. A request stores ten events and sends Redis a command over the same client.
"""

from __future__ import annotations

import json
import os
from typing import Any
from uuid import uuid4

import vwo_celery
from vwo_celery.producing.queue import producer_of

DESTINATION = vwo_celery.Destination(account_id=1, sdk_key="k" * 32, generation="fme")
BATCH = {"events_per_request": 40, "request_time_interval": 600}
EACH = 10

queue = vwo_celery.connect(
    DESTINATION, batch_event_data=BATCH, strict=True, enqueue_timeout_seconds=10
)


def store(name: str, count: int) -> list[str]:
    """Enqueue the given number of events, each with its process id; their receipts."""
    events = [{"name": f"{name}-{number}", "pid": os.getpid()} for number in range(count)]
    return [queue.enqueue(event).where for event in events]


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Store events of the visitor in the path."""
    stored = store(environ["PATH_INFO"].strip("/"), EACH)
    question = uuid4().hex
    own_answer = producer_of(queue).fleet.client.echo(question) == question.encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    answer = {"pid": os.getpid(), "stored": stored, "own_answer": own_answer}
    return [json.dumps(answer).encode()]


def pre_fork(server: Any, worker: Any) -> None:
    """Enqueue in the master: gunicorn calls this hook before it forks a worker."""
    store(f"fork-{worker.age}", 1)


if os.environ.get("FORK_WEB"):  # not where a test imports this module
    store("import", 1)
