"""The doctor's checks of Celery's broker: can it be reached, and who consumes our tasks there?

Pure decisions on facts that the Celery adapter collects: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.operating.doctor.workers import START_WORKER
from vwo_celery.text.amounts import count


class BrokerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Celery's broker and its consumers.

    Attributes:
        url: The broker's URL, password masked.
        error: Why it could not be reached, "" if it was.
        cluster: Whether it is a Redis Cluster, which Celery cannot use.
        unchecked: Why it was not tried, "" if it was.
        queue: The Celery queue that our tasks go to.
        workers: Names of the workers that answered.
        consumers: Those of them that consume that queue.
        strangers: Consumers that do not know our tasks and would throw them away.
    """

    url: str
    error: str = ""
    cluster: bool = False
    unchecked: str = ""
    queue: str = ""
    workers: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()


def broker_findings(broker: BrokerFacts, listeners: Sequence[str]) -> Iterator[Finding]:
    """Judge the broker and, if it can be reached, its consumers.

    Args:
        broker: Facts about it.
        listeners: Workers that listen for wake-ups, and hence run.
    """
    if broker.cluster:
        what = f"{broker.url} is a Redis Cluster, which Celery cannot use as broker"
        remedy = "set broker_url (VWO_CELERY_BROKER_URL) to a single Redis, Sentinel or RabbitMQ"
        yield problem("broker", what, remedy)
    elif broker.error:
        remedy = (
            "start it, or correct broker_url (VWO_CELERY_BROKER_URL); until then only the "
            "workers' listeners send, one batch at a time"
        )
        yield problem("broker", f"{broker.url} cannot be reached: {broker.error}", remedy)
    elif broker.unchecked:
        yield ok("broker", f"{broker.url} was not tried: {broker.unchecked}")
    else:
        yield ok("broker", f"{broker.url} answers")
        yield _consumers(broker, listeners)


def _consumers(broker: BrokerFacts, listeners: Sequence[str]) -> Finding:
    queue = f"Celery queue {broker.queue!r}"
    if broker.strangers:
        what = (
            f"{', '.join(broker.strangers)} consumes {queue} without knowing our tasks, and throws "
            "away those that it gets"
        )
        remedy = (
            "call vwo_celery.setup(app) in that worker's app, or set celery_queue "
            "(VWO_CELERY_CELERY_QUEUE) to a queue that only our workers consume"
        )
        return problem("consumers", what, remedy)
    if broker.consumers:
        names = count(len(broker.consumers), "worker consumes", "workers consume")
        return ok("consumers", f"{names} {queue}")
    if not broker.workers and listeners:
        listen = count(len(listeners), "worker listens", "workers listen")
        remedy = (
            "workers of the pool solo answer only between tasks; else see whether the workers' "
            "broker is the one named here"
        )
        return warn("consumers", f"no worker answered, though {listen}", remedy)
    if not broker.workers:  # nor is it known which queue they would consume
        return problem(
            "consumers", "no worker answered or listens: our tasks are never run", START_WORKER
        )
    others = count(len(broker.workers), "worker consumes", "workers consume")
    what = f"nobody consumes {queue}; {others} other queues: our tasks are never run"
    remedy = f"celery -A vwo_celery.celery.app worker -Q {broker.queue}; or correct celery_queue"
    return problem("consumers", what, remedy)
