"""What the doctor says of Redis, of Celery's broker and of who works: pure decisions on facts.

Place: work, beside an event's way; no I/O. Each finding says what is true and, unless all is well,
what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from vwo_celery.queue.servers import ServerFacts
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count, size, span

State = Literal["ok", "warn", "problem"]

#: The oldest Redis whose commands are enough (LMOVE, ZMSCORE).
OLDEST_REDIS = (6, 2)
_MUCH_MEMORY, _TOO_MUCH_MEMORY = 0.8, 0.95
#: Sweeps that beat may miss before it counts as silent, and the shortest silence that does.
_MISSED_SWEEPS = 5
_SHORTEST_SILENCE_SECONDS = 10.0
_START_WORKER = (
    "start one: celery -A vwo_celery.celery.app worker; in an app of yours, vwo_celery.setup(app)"
)
_START_BEAT = "start one: celery -A vwo_celery.celery.app beat"


class Finding(msgspec.Struct, frozen=True):
    """What one check came to."""

    check: str
    state: State
    what: str
    remedy: str = ""


class BrokerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Celery's broker and who consumes from it.

    Attributes:
        url: The broker's, password masked.
        error: Why it could not be reached, "" if it was.
        cluster: Whether it is a Redis Cluster, which Celery cannot use.
        unchecked: Why it cannot be told from here whether it works, "" if it can.
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


def redis_findings(facts: ServerFacts) -> Iterator[Finding]:
    """Version and role, eviction, persistence and memory of one server."""
    yield _server(facts)
    yield _eviction(facts)
    yield _persistence(facts)
    yield _memory(facts)
    if facts.config_refused:
        yield Finding(
            "config", "ok", f"{facts.label} refuses CONFIG, as managed servers do; INFO was read"
        )


def _server(facts: ServerFacts) -> Finding:
    if facts.version < OLDEST_REDIS:
        oldest = ".".join(map(str, OLDEST_REDIS))
        return Finding(
            "redis", "problem", f"{facts.label} lacks commands that our scripts need",
            f"upgrade to Redis {oldest} or newer, or to Valkey",
        )  # fmt: skip
    if facts.role != "master":
        return Finding(
            "redis", "problem", f"{facts.label} is a replica, which takes no writes",
            "name the primary in redis_url, or use redis+sentinel://",
        )  # fmt: skip
    return Finding("redis", "ok", f"{facts.label} answers")


def _eviction(facts: ServerFacts) -> Finding:
    remedy = "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf"
    if facts.policy.startswith("allkeys"):
        limit = f"at {size(facts.limit_bytes)}" if facts.limit_bytes else "once maxmemory is set"
        return Finding(
            "eviction", "problem" if facts.limit_bytes else "warn",
            f"maxmemory-policy is {facts.policy}: {limit}, Redis throws queued events away", remedy,
        )  # fmt: skip
    if facts.policy.startswith("volatile"):
        return Finding(
            "eviction", "warn",
            f"maxmemory-policy is {facts.policy}: events are safe, but the marks are not that keep a "
            "repeated push from being stored twice, and without which events count as lost", remedy,
        )  # fmt: skip
    return Finding("eviction", "ok", f"maxmemory-policy is {facts.policy or 'not told'}")


def _persistence(facts: ServerFacts) -> Finding:
    on = "CONFIG SET appendonly yes, and the same in redis.conf"
    if facts.append_only and not facts.append_ok:
        what = (
            "the last write to the append-only file failed; Redis refuses events until one succeeds"
        )
        return Finding("persistence", "problem", what, "look at the server's disk and log")
    if facts.append_only and facts.fsync == "no":
        what = "append-only file, but appendfsync is no: a power cut loses what the kernel holds"
        return Finding("persistence", "warn", what, "CONFIG SET appendfsync everysec")
    if facts.append_only:
        return Finding(
            "persistence", "ok", f"append-only file, appendfsync {facts.fsync or 'not told'}"
        )
    if facts.snapshots is False:
        what = "neither append-only file nor snapshots: a restart of Redis loses all that is queued"
        return Finding("persistence", "problem", what, on)
    if not facts.snapshot_ok:
        what = "no append-only file, and the last snapshot failed"
        return Finding("persistence", "problem", what, f"{on}; look at the server's disk and log")
    kept = "only snapshots" if facts.snapshots else "whether there are snapshots is not told"
    what = (
        f"no append-only file, {kept}: a crash loses what came since the last one, "
        f"{count(facts.unsaved_changes, 'change')} now"
    )
    return Finding("persistence", "warn", what, on)


def _memory(facts: ServerFacts) -> Finding:
    limit = facts.limit_bytes or facts.machine_bytes
    if not limit:
        return Finding("memory", "ok", f"{size(facts.used_bytes)} in use")
    of = "maxmemory" if facts.limit_bytes else "the machine's memory, no maxmemory is set"
    what = f"{size(facts.used_bytes)} in use, {facts.used_bytes / limit:.0%} of {of}"
    remedy = "give Redis more memory, or lower max_queue_bytes; see: vwo-celery status"
    if facts.used_bytes >= _TOO_MUCH_MEMORY * limit:
        return Finding("memory", "problem", f"{what}; events are refused when it is full", remedy)
    state: State = "warn" if facts.used_bytes >= _MUCH_MEMORY * limit else "ok"
    return Finding("memory", state, what, remedy if state == "warn" else "")


def broker_findings(broker: BrokerFacts, listeners: Sequence[str]) -> Iterator[Finding]:
    """Whether Celery's broker can be reached, and whether somebody consumes our queue there.

    Args:
        broker: What was found out about it.
        listeners: Workers that listen for wake-ups, and hence run.
    """
    if broker.cluster:
        yield Finding(
            "broker", "problem", f"{broker.url} is a Redis Cluster, which Celery cannot use as broker",
            "set broker_url (VWO_CELERY_BROKER_URL) to a single Redis, Sentinel or RabbitMQ",
        )  # fmt: skip
        return
    if broker.error:
        yield Finding(
            "broker", "problem", f"{broker.url} cannot be reached: {broker.error}",
            "start it, or correct broker_url (VWO_CELERY_BROKER_URL); until then only the "
            "workers' listeners send, one batch at a time",
        )  # fmt: skip
        return
    if broker.unchecked:
        yield Finding("broker", "ok", f"{broker.url} was not tried: {broker.unchecked}")
        return
    yield Finding("broker", "ok", f"{broker.url} answers")
    yield _consumers(broker, listeners)


def _consumers(broker: BrokerFacts, listeners: Sequence[str]) -> Finding:
    queue = f"Celery queue {broker.queue!r}"
    if broker.strangers:
        return Finding(
            "consumers", "problem",
            f"{', '.join(broker.strangers)} consumes {queue} without knowing our tasks, and throws "
            "away those that it gets",
            "call vwo_celery.setup(app) in that worker's app, or set celery_queue "
            "(VWO_CELERY_CELERY_QUEUE) to a queue that only our workers consume",
        )  # fmt: skip
    if broker.consumers:
        names = count(len(broker.consumers), "worker consumes", "workers consume")
        return Finding("consumers", "ok", f"{names} {queue}")
    if not broker.workers and listeners:
        return Finding(
            "consumers", "warn",
            f"no worker answered, though {count(len(listeners), 'worker listens', 'workers listen')}",
            "workers of the pool solo answer only between tasks; else see whether the workers' "
            "broker is the one named here",
        )  # fmt: skip
    others = f"; {count(len(broker.workers), 'worker consumes', 'workers consume')} other queues"
    return Finding(
        "consumers", "problem",
        f"nobody consumes {queue}{others if broker.workers else ''}: our tasks are never run",
        f"celery -A vwo_celery.celery.app worker -Q {broker.queue}; or correct celery_queue",
    )  # fmt: skip


def listener_finding(listeners: Sequence[str]) -> Finding:
    """Whether any worker listens for wake-ups."""
    if listeners:
        names = count(len(listeners), "worker listens", "workers listen")
        return Finding("listener", "ok", f"{names} for wake-ups: {', '.join(listeners)}")
    return Finding("listener", "problem", "no worker listens for wake-ups", _START_WORKER)


def beat_finding(sweeps_ms: Mapping[str, int], now_ms: int, settings: Settings) -> Finding:
    """Whether beat has the queues swept, or a listener does so in its place."""
    silence = max(_SHORTEST_SILENCE_SECONDS, _MISSED_SWEEPS * settings.sweep_interval_seconds)
    ages = {by: max(0, now_ms - at) / 1000 for by, at in sweeps_ms.items()}
    beat, listener = ages.get("beat"), ages.get("listener")
    remedy = f"{_START_BEAT}; if one runs, see why no worker runs its tasks"
    if beat is not None and beat <= silence:
        return Finding("beat", "ok", f"beat had the queues swept {span(beat)} ago")
    seen = "beat has never been seen" if beat is None else f"beat was last seen {span(beat)} ago"
    if listener is not None and listener <= silence:
        what = f"{seen}; a worker's listener sweeps in its place, last {span(listener)} ago"
        return Finding("beat", "warn", what, remedy)
    return Finding(
        "beat", "problem", f"{seen}, and nobody sweeps: a batch that is not full does not leave",
        remedy,
    )  # fmt: skip
