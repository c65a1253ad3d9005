"""The doctor's checks of a Redis server: version and role, eviction, persistence, memory.

Pure decisions on what the server says of itself: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator

from vwo_celery.connections.remedies import TROUBLES
from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.queue.servers.facts import ServerFacts
from vwo_celery.text.amounts import count, size

#: Oldest version of Redis that has all commands we use (LMOVE, ZMSCORE).
OLDEST_REDIS = (6, 2)
#: Shares of the memory limit from which there is a warning, and a problem.
_MUCH_MEMORY, _TOO_MUCH_MEMORY = 0.8, 0.95


def server_findings(facts: ServerFacts) -> Iterator[Finding]:
    """Judge one server."""
    if facts.info_refused:
        yield ok(
            "redis",
            f"{facts.label} answers; this user may not run INFO, so its version, role, eviction, "
            "persistence and memory are not judged",
        )
        return
    if facts.sentinel:
        trouble = TROUBLES["sentinel"]
        yield problem("VC217", f"{facts.label}: {trouble.says}", trouble.remedy_for("redis_url"))
        return
    yield _server(facts)
    yield _eviction(facts)
    yield _persistence(facts)
    yield _memory(facts)
    if facts.config_refused:
        yield ok("config", f"{facts.label} refuses CONFIG, as managed servers do; INFO was read")


def _server(facts: ServerFacts) -> Finding:
    if facts.version < OLDEST_REDIS:
        what = f"{facts.label} lacks commands that our scripts need"
        oldest = ".".join(map(str, OLDEST_REDIS))
        return problem("VC216", what, f"upgrade to Redis {oldest} or newer, or to Valkey")
    if facts.role != "master":
        what = f"{facts.label} is a replica, which takes no writes"
        return problem("VC210", what, "name the primary in redis_url, or use redis+sentinel://")
    return ok("redis", f"{facts.label} answers")


def _eviction(facts: ServerFacts) -> Finding:
    policy = f"maxmemory-policy is {facts.policy or 'not told'}"
    remedy = "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf"
    if facts.policy.startswith("allkeys"):
        grade = problem if facts.limit_bytes else warn
        limit = f"at {size(facts.limit_bytes)}" if facts.limit_bytes else "once maxmemory is set"
        return grade("VC231", f"{policy}: {limit}, Redis throws queued events away", remedy)
    if facts.policy.startswith("volatile"):
        grade = problem if facts.limit_bytes else warn
        when = f"at {size(facts.limit_bytes)}" if facts.limit_bytes else "once maxmemory is set"
        what = (
            f"{policy}: events are safe, but {when} Redis evicts the marks; without its mark a push "
            "that is repeated is stored twice, and events that Redis loses may not be noticed"
        )
        return grade("VC232", what, remedy)
    return ok("eviction", policy)


def _persistence(facts: ServerFacts) -> Finding:
    return _append_only_file(facts) if facts.append_only else _snapshots(facts)


def _append_only_file(facts: ServerFacts) -> Finding:
    if not facts.append_ok:
        what = (
            "the last write to the append-only file failed; Redis refuses events until one succeeds"
        )
        return problem("VC233", what, "look at the server's disk and log")
    if facts.fsync == "no":
        what = "append-only file, but appendfsync is no: a power cut loses what the kernel holds"
        return warn("VC234", what, "CONFIG SET appendfsync everysec")
    return ok("persistence", f"append-only file, appendfsync {facts.fsync or 'not told'}")


def _snapshots(facts: ServerFacts) -> Finding:
    remedy = "CONFIG SET appendonly yes, and the same in redis.conf"
    if facts.snapshots is False:
        what = "neither append-only file nor snapshots: a restart of Redis loses all that is queued"
        return problem("VC235", what, remedy)
    if not facts.snapshot_ok:
        what = "no append-only file, and the last snapshot failed"
        return problem("VC236", what, f"{remedy}; look at the server's disk and log")
    kept = "only snapshots" if facts.snapshots else "whether there are snapshots is not told"
    unsaved = count(facts.unsaved_changes, "change")
    what = f"no append-only file, {kept}: a crash loses all since the last one, {unsaved} now"
    return warn("VC237", what, remedy)


def _memory(facts: ServerFacts) -> Finding:
    limit = facts.limit_bytes or facts.machine_bytes
    if not limit:
        return ok("memory", f"{size(facts.used_bytes)} in use")
    of = "maxmemory" if facts.limit_bytes else "the machine's memory, no maxmemory is set"
    what = f"{size(facts.used_bytes)} in use, {facts.used_bytes / limit:.0%} of {of}"
    remedy = "give Redis more memory, or lower max_queue_bytes; see: vwo-celery status"
    if facts.limit_bytes and facts.used_bytes >= facts.limit_bytes:
        return ok("memory", f"{what}; whether events are refused for that is tried")
    if facts.used_bytes >= _TOO_MUCH_MEMORY * limit:
        return problem("VC238", f"{what}; events are refused when it is full", remedy)
    if facts.used_bytes >= _MUCH_MEMORY * limit:
        return warn("VC238", what, remedy)
    return ok("memory", what)
