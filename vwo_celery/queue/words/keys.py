"""Name, type and meaning of every key in Redis; no other module composes a key.

Words without I/O: nothing to lose. All keys of one shard share a hash tag, so that one script may
use them on Redis Cluster. The version is part of the name: a release that stores data differently
uses other keys, and can still read these.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from vwo_celery.forks import unshared_number

#: Version of the stored data; the releases before and after can read it.
KEY_VERSION = 1


class KeyFamily(NamedTuple):
    """One kind of key: the pattern of its name, its Redis type and what it holds."""

    pattern: str
    type: str
    holds: str


SHARD_FAMILIES = (
    KeyFamily("open", "list", "the list being filled, newest event at the head"),
    KeyFamily(
        "meta",
        "hash",
        "limits, life, first event's time, ledger counters, pause and hold; a copy of the "
        "registration, with the SDK key",
    ),
    KeyFamily("ready", "zset", "batch id -> Unix ms from which it may be claimed"),
    KeyFamily("leases", "zset", "batch id -> Unix ms at which its lease runs out"),
    KeyFamily("info", "hash", "batch id -> attempt:lost:events:bytes:first ms:sealed ms:error"),
    KeyFamily("slots", "zset", "wake-up token -> Unix ms from which its message may be lost"),
    KeyFamily("dead", "zset", "batch id -> Unix ms of its dead-lettering"),
    KeyFamily("batch:*", "list", "a sealed batch, never changed, newest event at the head"),
    KeyFamily("suspect:*", "string", "Unix ms at which VWO last refused a batch"),
    KeyFamily(
        "circuit",
        "hash",
        "with shard 0: failures in a row and since when, open until when, whose probe is out, when a "
        "log last told of it",
    ),
    KeyFamily(
        "declined",
        "hash",
        "with shard 0: worker that leaves the queue to others -> since:until:why",
    ),
    KeyFamily(
        "settled",
        "zset",
        "while a flush waits: outcome:events:batch id:sealed ms -> Unix ms of the settling",
    ),
    KeyFamily("births", "zset", "batch id -> Unix ms of its oldest event, while it is not dead"),
    KeyFamily(
        "released",
        "zset",
        "batch id -> attempts * 1,000,000 + events, while it waits after a failed attempt",
    ),
    KeyFamily("history:minute", "stream", "a sample of the counters each minute, for 8 hours"),
    KeyFamily("history:ten_minutes", "stream", "the same each ten minutes, for 7 days"),
    KeyFamily("history:hour", "stream", "the same each hour, for 90 days"),
    KeyFamily(
        "tally",
        "hash",
        "what happened so far. Requests to VWO: answer:<status or word>, post:<bucket>, post_ms, "
        "size:<bucket>, size_events; batches accepted: age:<bucket>, age_ms; events: dead:<matter>, "
        "redriven; split, lost_leases, opened. What processes told of events that no script saw: "
        "unaccepted:<reason>, spooled, drained -> events; of the latest run recent:, since_ms: and "
        "last_ms: of each",
    ),
    KeyFamily(
        "leaving",
        "hash",
        "batch id -> since:state:at:length:heading:line, while a move takes it away",
    ),
    KeyFamily(
        "arrived",
        "zset",
        "batch id that a move or an import brought -> Unix ms until which that is remembered; "
        "negative if it shall never come",
    ),
    KeyFamily(
        "traces",
        "list",
        "first ms:number:W3C trace context of calls that stored events of the open list, where "
        "OpenTelemetry records them; the last 128, for a day",
    ),
    KeyFamily(
        "traced",
        "hash",
        "batch id -> number of such contexts and the last 128 of them, for a day after the last one",
    ),
    KeyFamily(
        "former",
        "string",
        "the life of a shard that an operator forgot, for 90 days: a producer that goes on finds it",
    ),
    KeyFamily(
        "gate:*",
        "list",
        "the open list, while one transaction pushes many events to it; nobody else ever sees it",
    ),
    KeyFamily(
        "mark:*",
        "string",
        "events stored under a producer's mark, and the last push's nonce far behind the point: shows "
        "repeats, clones, and what was lost; 1 for a report that is in the tally",
    ),
)
FLEET_FAMILIES = (
    KeyFamily("queues", "hash", "queue -> its registration, JSON; holds the SDK key"),
    KeyFamily("shards:*", "hash", "queue -> number of shards that it ever had; never lowered"),
    KeyFamily("watched", "set", "shards that hold, or lately held, something"),
    KeyFamily("wakeups", "list", "wake-ups that no worker has picked up yet"),
    KeyFamily(
        "pulse",
        "hash",
        "Unix ms of the last sweep by beat and by a listener, of the last task, of the last time that "
        "any worker listened, of the time since which one always has, of the last "
        "batch that a listener sent itself, of the last minute that "
        "was sampled, of the last misdirected "
        "message (and whose it was), and of beat's last message while it is unanswered (and for how "
        "long that counts); of each route the newest task message published, the newest started, and "
        "how long the last one waited",
    ),
    KeyFamily("listeners", "zset", "worker -> Unix ms at which it last listened"),
    KeyFamily(
        "workers", "hash", "worker -> its card, JSON: what it is, its settings, what it does"
    ),
    KeyFamily(
        "balances",
        "hash",
        "shard -> events by which its ledger was out of balance when it was last proven, only those that "
        "were; Unix ms at which that proof began, and ended",
    ),
    KeyFamily(
        "declined_queues",
        "zset",
        "queue -> Unix ms until which a worker's note counts that it declines it",
    ),
    KeyFamily(
        "audit",
        "stream",
        "two entries for each change that an operator made, before and after it: who, host, door, "
        "command, filter, reason, queues, what matched and what was done",
    ),
    KeyFamily(
        "shadow",
        "hash",
        "for 7 days after the last count: what shadowed SDKs sent and what our hook saw, by row; a line "
        "of each process that counts; since when",
    ),
    KeyFamily("jobs:*", "zset", "job -> Unix ms of its last sign of life"),
    KeyFamily(
        "job:*",
        "hash",
        "a job's order, worker, progress and outcome; the id follows the name of `queues`",
    ),
    KeyFamily("relays:*", "zset", "process of a relay -> Unix ms at which it last told of itself"),
    KeyFamily(
        "relay_cards:*", "hash", "process of a relay -> its card, JSON: what it is and has done"
    ),
)
#: Keys of relays: the copies of one account and key share a slot of Redis Cluster.
RELAY_FAMILIES = (
    KeyFamily(
        "settings:*",
        "hash",
        "copies of the settings that VWO answered an account's SDKs with, which hold the SDK key; "
        "`index` says of each when it was fetched and is due, `pulled` when VWO last told of a change",
    ),
    KeyFamily("refresh:*", "string", "token of the process that fetches such a copy now"),
)


class _Key:
    """Name of a shard's key, made when it is asked for: a process may have thousands of shards."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __get__(self, keys: ShardKeys, _: type[ShardKeys]) -> str:
        return f"{keys.prefix}{self._pattern}"


class ShardKeys:
    """Key names of one shard of one queue, in the order of SHARD_FAMILIES.

    Attributes:
        prefix: The beginning of each key; it has the hash tag, so it is as good as any of them to find
            the shard's node of a Cluster.
    """

    __slots__ = ("prefix",)

    def __init__(self, namespace: str, name: str) -> None:
        self.prefix = f"{namespace}:{KEY_VERSION}:{{{name}}}:"

    open = _Key("open")
    meta = _Key("meta")
    ready = _Key("ready")
    leases = _Key("leases")
    info = _Key("info")
    slots = _Key("slots")
    dead = _Key("dead")
    circuit = _Key("circuit")
    declined = _Key("declined")
    settled = _Key("settled")
    births = _Key("births")
    released = _Key("released")
    minutes = _Key("history:minute")
    ten_minutes = _Key("history:ten_minutes")
    hours = _Key("history:hour")
    tally = _Key("tally")
    leaving = _Key("leaving")
    arrived = _Key("arrived")
    traces = _Key("traces")
    traced = _Key("traced")
    former = _Key("former")

    @property
    def name(self) -> str:
        """The shard's short name, "queue:shard"."""
        return self.prefix[self.prefix.index("{") + 1 : -2]

    @property
    def life(self) -> tuple[str, str]:
        """The state, and the life of a state that an operator forgot, as limit.lua takes them."""
        return self.meta, self.former

    @property
    def sets(self) -> tuple[str, ...]:
        """The counters, the three sets that a batch is in, and the lines, as the scripts take them."""
        return self.meta, self.ready, self.leases, self.info, self.dead

    @property
    def indexes(self) -> tuple[str, str]:
        """The sets by which a look costs the same at any backlog; see lua/shared/indexes.lua."""
        return self.births, self.released

    @property
    def contexts(self) -> tuple[str, str]:
        """The trace contexts of the open list and of batches; see lua/shared/contexts.lua."""
        return self.traces, self.traced

    def batch(self, batch_id: str) -> str:
        """Key of a sealed batch."""
        return f"{self.prefix}batch:{batch_id}"

    def staged(self, batch_id: str) -> str:
        """Key of the events of a batch that is about to arrive."""
        return f"{self.prefix}batch:{batch_id}.staged"

    def suspect(self, batch_id: str) -> str:
        """Key of the note that VWO refused a batch."""
        return f"{self.prefix}suspect:{batch_id}"

    def mark(self, producer: str) -> str:
        """Key of a producer's idempotency mark, or of a report's."""
        return f"{self.prefix}mark:{producer}"

    def gate(self, producer: str) -> str:
        """Key of the open list within a transaction under a producer's mark; see gate.lua."""
        return f"{self.prefix}gate:{producer}"


class FleetKeys(msgspec.Struct, frozen=True):
    """Key names that all queues of a namespace share, in the order of FLEET_FAMILIES.

    The hash tag of `shards` is the name of `queues`, so that one script may use both.
    """

    prefix: str
    queues: str
    shards: str
    watched: str
    wakeups: str
    pulse: str
    listeners: str
    workers: str
    balances: str
    declined_queues: str
    audit: str
    shadow: str
    jobs: str
    job_stem: str
    relays: str
    relay_cards: str

    def job(self, job: str) -> str:
        """Key of a job."""
        return f"{self.job_stem}:{job}"

    def results(self, queue: str) -> str:
        """Pub/sub channel on which a queue's outcomes are announced."""
        return f"{self.prefix}results:{queue}"


def shard_keys(namespace: str, queue: str, shard: int) -> ShardKeys:
    """Names of the keys of one shard; its short name is "queue:shard"."""
    return ShardKeys(namespace, f"{queue}:{shard}")


def due_keys(namespace: str, shard_name: str) -> tuple[str, str, str, str, str]:
    """Names of the keys of one shard that due.lua looks at, made faster than by `shard_keys`."""
    prefix = f"{namespace}:{KEY_VERSION}:{{{shard_name}}}:"
    return f"{prefix}open", f"{prefix}meta", f"{prefix}ready", f"{prefix}leases", f"{prefix}slots"


def shards_pattern(namespace: str) -> str:
    """Pattern of the key that every registered shard has; its "*" is the shard's short name."""
    return f"{namespace}:{KEY_VERSION}:{{*}}:meta"


@cache
def fleet_keys(namespace: str) -> FleetKeys:
    """Names of the keys that all queues share."""
    prefix = f"{namespace}:{KEY_VERSION}:"
    tag = f"{{{prefix}queues}}"
    names = (f"{prefix}{family.pattern.replace('*', tag)}" for family in FLEET_FAMILIES)
    return FleetKeys(prefix, *names)


def copy_keys(namespace: str, owner: str, entry: str) -> tuple[str, str]:
    """Names of the keys of an owner's copies of settings, and of the task to fetch one of them."""
    prefix = f"{namespace}:{KEY_VERSION}:"
    return f"{prefix}settings:{{{owner}}}", f"{prefix}refresh:{{{owner}}}:{entry}"


def split_shard_name(name: str) -> tuple[str, int]:
    """Queue and shard number of a shard's short name."""
    queue, _, shard = name.rpartition(":")
    return queue, int(shard)


def new_token() -> str:
    """A random name that no other call returns, in a clone of this process either."""
    return f"{uuid4().hex[:4]}{unshared_number():016x}"


def as_text(value: Any) -> str:
    """A name from an answer of Redis, which is bytes unless the client decodes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
