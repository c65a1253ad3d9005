"""The table of all troubles that the doctor can find: their ids, titles, and alerts.

An id is for good: it names the trouble in `doctor --json`, it is the anchor of its section in
docs/how-to/runbook.md, and a monitor may know it. It is never given to another trouble. The
hundreds say where the trouble is: 1 this host, 2 Redis, 3 rights, 4 workers and beat, 5 the broker,
6 queues. Pure: nothing to lose.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: Page of the runbook, whose anchors are the ids in small letters.
RUNBOOK: Final = "docs/how-to/runbook.md"


class Kind(NamedTuple):
    """One trouble.

    Attributes:
        check: The check that finds it.
        title: What it is, in one line without a full stop.
        alert: Name for an alert on it; "" for none.
        quiet: Why it needs no alert of its own; "" if it has one.
    """

    check: str
    title: str
    alert: str = ""
    quiet: str = ""


#: Why a trouble has no alert that a set-up has or has not; docs/how-to/ready.md lists each of them.
AT_DEPLOY: Final = "seen at a deploy: run `doctor` then"
_BEHIND_REDIS: Final = "RedisAway"
_CONSEQUENCE: Final = "its consequences alert: EventsLate, QueueFullSoon"

KINDS: Final[dict[str, Kind]] = {
    "VC101": Kind("settings", "A setting is wrong", quiet=AT_DEPLOY),
    "VC102": Kind("hosts", "Workers may not send to a queue's host", alert="EventsLate"),
    "VC103": Kind("callbacks", "A flush_callback may not be imported", quiet=AT_DEPLOY),
    "VC104": Kind("callbacks", "A flush_callback cannot be imported here", quiet=AT_DEPLOY),
    "VC105": Kind("settings", "A variable has nearly the name of a setting", quiet=AT_DEPLOY),
    "VC111": Kind("spool", "This host's spool cannot be used", quiet=AT_DEPLOY),
    "VC112": Kind("spool", "A file of the spool is refused", alert="Spooling"),
    "VC113": Kind("spool", "The spool cannot be read", alert="Spooling"),
    "VC114": Kind("spool", "Events wait on this host's disk", alert="Spooling"),
    "VC115": Kind("spool", "The spool is nearly full", alert="Spooling"),
    "VC121": Kind("relay", "Any key of an account may send to the relay", quiet=AT_DEPLOY),
    "VC122": Kind("relay", "A proxy in front of the relay leaves early", quiet=AT_DEPLOY),
    "VC123": Kind("relay", "An account has too many SDKs", quiet="no event is lost by folding"),
    "VC124": Kind("relay", "The relay refuses a key", quiet="its sender sees the answer 400"),
    "VC125": Kind("relay", "A relay has no spool", quiet=AT_DEPLOY),
    "VC126": Kind("relay", "A relay could not store events", alert="EventsLost"),
    "VC127": Kind("relay", "Relays have different batch options", quiet=AT_DEPLOY),
    "VC128": Kind("relay", "A relay gets no settings from VWO", quiet="SDKs go on with copies"),
    "VC191": Kind("unfinished", "A check did not end in time", quiet="it is the doctor's own"),
    "VC201": Kind("redis", "Nothing listens where Redis should", alert=_BEHIND_REDIS),
    "VC202": Kind("redis", "The name of Redis' host is not found", alert=_BEHIND_REDIS),
    "VC203": Kind("redis", "Redis does not answer in time", alert=_BEHIND_REDIS),
    "VC204": Kind("redis", "TLS to Redis fails", alert=_BEHIND_REDIS),
    "VC205": Kind("redis", "Redis does not accept the user or the password", alert=_BEHIND_REDIS),
    "VC206": Kind("redis", "Redis is loading its data", alert=_BEHIND_REDIS),
    "VC207": Kind("redis", "Redis lets no further client in", alert=_BEHIND_REDIS),
    "VC208": Kind("redis", "The Redis Cluster is down, or a part of it", alert=_BEHIND_REDIS),
    "VC209": Kind("redis", "Redis cannot be used for another reason", alert=_BEHIND_REDIS),
    "VC210": Kind("redis", "Redis is a replica, which takes no writes", alert=_BEHIND_REDIS),
    "VC211": Kind("redis", "Redis is out of memory", alert="QueueFullSoon"),
    "VC212": Kind("redis", "A key that all queues share has a wrong type", alert="EventsLate"),
    "VC213": Kind("redis", "Redis is busy with a script", alert=_BEHIND_REDIS),
    "VC214": Kind("redis", "Redis cannot write to its disk", alert=_BEHIND_REDIS),
    "VC215": Kind("redis", "Redis has too few replicas to take writes", alert=_BEHIND_REDIS),
    "VC216": Kind("redis", "Redis is too old", quiet=AT_DEPLOY),
    "VC217": Kind("redis", "The address does not fit the server there", alert=_BEHIND_REDIS),
    "VC221": Kind("sentinel", "No Sentinel answers", alert=_BEHIND_REDIS),
    "VC222": Kind("sentinel", "The Sentinels know no master", alert=_BEHIND_REDIS),
    "VC223": Kind("sentinel", "Sentinels name different masters", quiet="its failover alerts"),
    "VC224": Kind("sentinel", "Some Sentinels give no answer", quiet="its failover alerts"),
    "VC231": Kind("eviction", "Redis may throw queued events away", alert="EventsLost"),
    "VC232": Kind("eviction", "Redis may evict marks", quiet=AT_DEPLOY),
    "VC233": Kind("persistence", "The append-only file cannot be written", alert=_BEHIND_REDIS),
    "VC234": Kind("persistence", "The append-only file is not synced", quiet=AT_DEPLOY),
    "VC235": Kind("persistence", "Redis keeps nothing over a restart", quiet=AT_DEPLOY),
    "VC236": Kind("persistence", "The last snapshot failed", alert="EventsLost"),
    "VC237": Kind("persistence", "Redis keeps only snapshots", quiet=AT_DEPLOY),
    "VC238": Kind("memory", "Redis' memory is nearly full", alert="QueueFullSoon"),
    "VC241": Kind("redis lost", "Redis lost events", alert="EventsLost"),
    "VC242": Kind("redis lost", "Redis forgot a queue", alert="EventsLost"),
    "VC301": Kind("permissions", "The Redis user lacks rights", alert=_BEHIND_REDIS),
    "VC401": Kind("listener", "No worker listens", alert="NoWorkers"),
    "VC402": Kind("beat", "Nobody sweeps", alert="EventsLate"),
    "VC403": Kind("beat", "Beat is silent", alert="BeatSilent"),
    "VC404": Kind("lanes", "Every lane is busy", quiet=_CONSEQUENCE),
    "VC405": Kind("misdirected", "Fleets get each other's messages", quiet=_CONSEQUENCE),
    "VC406": Kind("declined", "Every worker declines a queue", alert="EventsLate"),
    "VC407": Kind("declined", "Some workers decline a queue", alert="WorkersDiffer"),
    "VC408": Kind("history", "The history has a gap", quiet="no event is late or lost by it"),
    "VC411": Kind("workers", "Workers are of different releases", alert="WorkersDiffer"),
    "VC412": Kind("workers", "Workers have different settings", alert="WorkersDiffer"),
    "VC501": Kind("broker", "Celery's broker cannot be reached", quiet=_CONSEQUENCE),
    "VC502": Kind("broker", "Celery's broker is a Redis Cluster", quiet=AT_DEPLOY),
    "VC503": Kind("broker", "The broker's user lacks rights", quiet=AT_DEPLOY),
    "VC504": Kind("broker", "The broker takes no messages", quiet=_CONSEQUENCE),
    "VC505": Kind("broker security", "TLS to the broker checks too little", quiet=AT_DEPLOY),
    "VC511": Kind("consumers", "Nobody consumes the Celery queue", quiet=_CONSEQUENCE),
    "VC512": Kind("consumers", "Strangers consume the Celery queue", quiet=AT_DEPLOY),
    "VC513": Kind("consumers", "No worker answers the doctor", quiet=_CONSEQUENCE),
    "VC514": Kind("time limits", "A time limit cuts deliveries off", quiet=AT_DEPLOY),
    "VC515": Kind("serializers", "A worker refuses others' messages", quiet=AT_DEPLOY),
    "VC601": Kind("queues", "No queue is registered", quiet=AT_DEPLOY),
    "VC602": Kind("queues", "A registration cannot be read", alert="EventsLate"),
    "VC603": Kind("unregistered", "A queue with events is not registered", alert="EventsLate"),
    "VC604": Kind("unreadable", "Something of a queue cannot be read", alert="EventsLate"),
    "VC611": Kind("paused", "An operator paused a queue", quiet="it was meant"),
    "VC612": Kind("paused", "A queue is paused until somebody resumes it", alert="PausedByVwo"),
    "VC613": Kind("stopped", "VWO refuses a queue", alert="CircuitOpen"),
    "VC614": Kind("circuit", "Sending keeps failing", alert="CircuitOpen"),
    "VC615": Kind("answers", "A batch waits for another attempt", quiet="it passes, or alerts"),
    "VC616": Kind("lateness", "Events are late", alert="EventsLate"),
    "VC621": Kind("capacity", "A queue is nearly full", alert="QueueFullSoon"),
    "VC622": Kind("capacity", "A queue is full", alert="EventsLost"),
    "VC631": Kind("dead letters", "There are dead letters", alert="DeadLetters"),
    "VC632": Kind("dropped", "Accepted events were dropped", alert="EventsLost"),
    "VC634": Kind("ledger", "A ledger is out of balance", alert="LedgerUnbalanced"),
    "VC635": Kind("repaired", "Stranded batches were repaired", quiet="nothing is lost by it"),
    "VC641": Kind("unaccepted", "Events were dropped on their way to Redis", alert="EventsLost"),
    "VC642": Kind("unaccepted", "Events that cannot be sent were dropped", quiet="seen in the log"),
}  # fmt: skip


def anchor(kind: str) -> str:
    """Place of its section in the runbook."""
    return f"{RUNBOOK}#{kind.lower()}"
