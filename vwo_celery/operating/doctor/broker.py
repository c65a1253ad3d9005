"""The doctor's checks of Celery's broker: can it be reached, and who consumes our tasks there?

Pure decisions on facts that the Celery adapter collects: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from vwo_celery.connections.remedies import TROUBLES
from vwo_celery.connections.troubles import is_denied
from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.operating.doctor.workers import start_worker
from vwo_celery.text.amounts import count, span

#: Longest time for which a misdirected message deserves a warning, in seconds.
_RECENT_SECONDS = 3600.0
#: Troubles whose remedy holds for brokers of any kind.
_TOLD = (
    "name", "password", "timeout", "memory", "loading", "clients", "replica", "disk", "replicas",
    "busy", "forbidden", "unreachable", "protected", "database",
)  # fmt: skip
#: Troubles in which no broker is asked: none is named, or its app cannot be had.
NO_BROKER, NO_APP = "no broker", "no app"
_URL = "broker_url (VWO_CELERY_BROKER_URL)"
_REMEDIES = {
    NO_BROKER: f"set {_URL} as it says",
    NO_APP: "correct --app, a name as celery -A takes it: it is imported from this folder, too",
    "file": f"see that this process can read the files of TLS that {_URL} or broker_use_ssl of your app "
    "(--app) names",
    "tls": f"see that {_URL} leads to a port with TLS, that the certificate there is for that host and "
    "not over, and that broker_use_ssl of your app (--app), or ssl_ca_certs for a Redis, names who "
    "signed it",
}
#: Words of RabbitMQ for a user without rights; a wrong password is refused in others.
_NO_RIGHTS = ("ACCESS_REFUSED - access to", "NOT_ALLOWED - access to")
_PERMISSIONS = "rabbitmqctl set_permissions -p VHOST USER '.*' '.*' '.*'"
_MEANWHILE = "; until then only the workers' listeners send, one batch at a time"


class BrokerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Celery's broker and its consumers.

    Attributes:
        url: The broker's URL, password masked.
        error: Why it could not be reached, "" if it was.
        trouble: The kind of that trouble, see `connections.troubles`, or NO_BROKER, NO_APP; "" for none.
        has_queues: Whether it is the Redis that holds the queues.
        blocked: Why it takes no messages, though it answers; "" if it does.
        cluster: Whether it is a Redis Cluster, which Celery cannot use.
        unchecked: Why it was not tried, "" if it was.
        gap: The check that TLS to it leaves out, and the remedy; both empty for none.
        queue: The Celery queue that our tasks go to; "" if it is not known.
        workers: Names of the workers that answered.
        consumers: Those of them that consume that queue.
        strangers: Consumers that do not know our tasks and would throw them away.
        hasty: Consumers whose time limit cuts off a POST, and that limit in seconds.
        refusing: Consumers that do not accept the messages that another of them sends.
    """

    url: str
    error: str = ""
    trouble: str = ""
    has_queues: bool = False
    blocked: str = ""
    cluster: bool = False
    unchecked: str = ""
    gap: tuple[str, str] = ("", "")
    queue: str = ""
    workers: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    hasty: Mapping[str, float] = {}
    refusing: tuple[str, ...] = ()


def broker_findings(
    broker: BrokerFacts, listeners: Sequence[str] | None, *, away: BaseException | None = None
) -> Iterator[Finding]:
    """Judge the broker and, if it can be reached, its consumers.

    Args:
        broker: Facts about it.
        listeners: Workers that listen for wake-ups, and hence run; None if that cannot be read.
        away: The error by which the Redis that holds the queues cannot be used; None if it can.
            Its broker fails alike.
    """
    if broker.cluster:
        what = f"{broker.url} is a Redis Cluster, which Celery cannot use as broker"
        remedy = "set broker_url (VWO_CELERY_BROKER_URL) to a single Redis, Sentinel or RabbitMQ"
        yield problem("VC502", what, remedy)
    elif broker.error:
        # One server that is away is one problem, and it is told already; rights are Celery's own.
        is_told = away is not None and broker.has_queues
        if not is_told or is_denied(broker.error):
            yield _away(broker)
    elif broker.blocked:
        yield problem(
            "VC504",
            f"{broker.url} answers and takes no messages: {broker.blocked}",
            "see its alarms on memory and disk: rabbitmq-diagnostics alarms; free some of what it "
            f"names, or raise the limit{_MEANWHILE}",
        )
    elif broker.unchecked:
        yield ok("broker", f"{broker.url} was not tried: {broker.unchecked}")
    else:
        yield ok("broker", f"{broker.url} answers")
        if broker.gap[0]:
            yield warn("VC505", f"{broker.url} {broker.gap[0]}", broker.gap[1])
        yield from _consumers(broker, listeners)
        yield from _settings_of_consumers(broker)


def _away(broker: BrokerFacts) -> Finding:
    if any(words in broker.error for words in _NO_RIGHTS):
        remedy = f"give its user all rights there: {_PERMISSIONS}; or correct {_URL}"
        return _denied(broker, remedy)
    if broker.trouble == "denied" or is_denied(broker.error):
        remedy = "give its user Celery's rights, which are others than ours, or name another user"
        return _denied(broker, remedy)
    if broker.trouble in (NO_BROKER, NO_APP):
        what = f"Celery's broker cannot be reached: {broker.error}"
        return problem("VC501", what, _REMEDIES[broker.trouble])
    what = f"{broker.url} cannot be reached: {broker.error}"
    return problem("VC501", what, f"{_remedy(broker)}{_MEANWHILE}")


def _denied(broker: BrokerFacts, remedy: str) -> Finding:
    what = f"{broker.url} refuses what Celery does: {broker.error}"
    return problem("VC503", what, f"{remedy}{_MEANWHILE}")


def _remedy(broker: BrokerFacts) -> str:
    if broker.trouble in _TOLD:
        return TROUBLES[broker.trouble].remedy_for(_URL)
    if "NOT_ALLOWED - vhost" in broker.error:
        return f"correct the virtual host, the path of {_URL}, or add it: rabbitmqctl add_vhost"
    return _REMEDIES.get(broker.trouble, f"start it, or correct {_URL}")


def _settings_of_consumers(broker: BrokerFacts) -> Iterator[Finding]:
    if broker.hasty:
        which = ", ".join(f"{name} after {span(limit)}" for name, limit in broker.hasty.items())
        yield problem(
            "VC514",
            f"a delivery is cut off in its POST by {which}: what VWO had accepted is sent again",
            "upgrade these workers: from 0.2.0 on our tasks state limits of their own; or raise "
            "task_time_limit and task_soft_time_limit",
        )
    if broker.refusing:
        yield problem(
            "VC515",
            f"{', '.join(broker.refusing)} does not accept the task messages of other workers of "
            f"Celery queue {broker.queue!r}, and throws them away",
            "give all workers of that queue the same accept_content, one release of vwo_celery, or "
            "a celery_queue of their own (VWO_CELERY_CELERY_QUEUE)",
        )


def misdirected_finding(last_ms: int, namespace: str, now_ms: int) -> Iterator[Finding]:
    """Judge whether workers lately got task messages of another fleet.

    Args:
        last_ms: Unix ms of the last such message, 0 for none.
        namespace: Its namespace, "" if unknown.
        now_ms: Redis' time.
    """
    age_seconds = (now_ms - last_ms) / 1000
    if not last_ms or age_seconds > _RECENT_SECONDS:
        return
    whose = f"namespace {namespace!r}" if namespace else "another fleet, or of a deleted queue,"
    yield warn(
        "VC405",
        f"{span(max(0.0, age_seconds))} ago a worker got a task message of {whose}: fleets that share "
        "a Celery queue get each other's messages, and batches may wait for a sweep",
        "give each fleet a celery_queue of its own (VWO_CELERY_CELERY_QUEUE), and workers with -Q",
    )


def _consumers(broker: BrokerFacts, listeners: Sequence[str] | None) -> Iterator[Finding]:
    queue = f"Celery queue {broker.queue!r}" if broker.queue else "the queue that a route names"
    if broker.strangers:
        what = (
            f"{', '.join(broker.strangers)} consumes {queue} without knowing our tasks, and throws "
            "away those that it gets"
        )
        remedy = (
            "call vwo_celery.setup(app) in that worker's app, or set celery_queue "
            "(VWO_CELERY_CELERY_QUEUE) to a queue that only our workers consume"
        )
        yield problem("VC512", what, remedy)
    elif broker.consumers:
        names = count(len(broker.consumers), "worker consumes", "workers consume")
        yield ok("consumers", f"{names} {queue}")
    elif broker.workers:
        others = count(len(broker.workers), "worker consumes", "workers consume")
        what = f"nobody consumes {queue}; {others} other queues: our tasks are never run"
        remedy = (
            f"celery -A vwo_celery.celery.app worker -Q {broker.queue}; or correct celery_queue"
        )
        yield problem("VC511", what, remedy)
    elif listeners:
        listen = count(len(listeners), "worker listens", "workers listen")
        remedy = (
            "workers of the pool solo answer only between tasks, and workers that accept no JSON only "
            "to --app; else see whether the workers' broker is the one named here"
        )
        yield warn("VC513", f"no worker answered, though {listen}", remedy)
    elif listeners is None:
        yield warn(
            "VC513",
            "no worker answered; whether one listens cannot be read from Redis",
            f"mend Redis first; if no worker runs, {start_worker()}",
        )
    # That no worker listens is told already, and it is the cause.
