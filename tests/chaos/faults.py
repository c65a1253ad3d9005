"""The fault matrix as data: each fault, its duration, and the promises that still hold."""

from __future__ import annotations

import signal

import msgspec

from chaos import inflicting as how
from chaos.fleet import EVENTS_PER_REQUEST, LEASE_SECONDS, PARALLEL_SENDS, Kit, Traffic
from chaos.inflicting import Infliction
from tools import redis_outages as outages
from tools.tcpproxy import TcpProxy
from vwo_celery.testing.standin import Fault

#: Events in flight at once: most that may be repeated if all leases are lost.
IN_FLIGHT = PARALLEL_SENDS * EVENTS_PER_REQUEST
#: Longest enqueue with the default enqueue_timeout_seconds of 250 ms, on a busy machine.
_LONGEST_ENQUEUE_MS = 1_500.0
_RECOVER_SECONDS = 30.0


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One fault and its promise.
    Attributes:
        name: Name for `chaos.run`.
        fault: Description of the fault.
        inflict: Enters and leaves the fault.
        seconds: Its duration.
        kit: Parts of the fleet.
        traffic: Load of the applications.
        settings: Variables of the applications.
        leases_lost: Most events whose repeat a lost lease explains. Repeats explained by a lost
            answer of VWO are always allowed, others never.
        dropped: Whether receipts may say that events are dropped.
        dead: Whether events become dead letters: "none", "poison" (all of those, and no others), or
            "any".
        loss: Effect of Redis' own loss: "none" is allowed, its events are "counted" in the ledger, or
            the fact is "noted" there.
        most_requests: Most requests to VWO during the fault; None for any number.
        least_requests: Fewest requests to VWO during the fault, since delivery must go on.
        longest_enqueue_ms: Longest call of an application.
        recover_seconds: Longest time from healing to the end of the backlog.
        soak: Whether the soak may choose it.
    """

    name: str
    fault: str
    inflict: Infliction
    seconds: float = 3.0
    kit: Kit = Kit()
    traffic: Traffic = Traffic()
    settings: dict[str, str] = {}
    leases_lost: int = 0
    dropped: bool = False
    dead: str = "none"
    loss: str = "none"
    most_requests: int | None = None
    least_requests: int = 0
    longest_enqueue_ms: float = _LONGEST_ENQUEUE_MS
    recover_seconds: float = _RECOVER_SECONDS
    soak: bool = True


_OWN_BROKER = Kit(own_broker=True)
#: Too few events to fill a batch: each leaves by age, once a second.
_TRICKLE = Traffic(per_second=4, burst=0)

MATRIX: tuple[Row, ...] = (
    Row(name="none", fault="none, to compare with", inflict=how.nothing),
    # -- workers
    Row(
        name="worker-killed",
        fault="worker and its children killed (SIGKILL)",
        inflict=how.worker_killed,
        seconds=1,
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="worker-killed-in-post",
        fault="the same while VWO holds a request",
        inflict=how.worker_killed_in_post,
        seconds=1,
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="dies-before-post",
        fault="pool process killed between claim and POST",
        inflict=how.worker_dies("before_post"),
        seconds=1,
    ),
    Row(
        name="dies-before-ack",
        fault="pool process killed between VWO's 200 and the ack",
        inflict=how.worker_dies("after_post"),
        seconds=1,
        leases_lost=EVENTS_PER_REQUEST,
    ),
    Row(
        name="pool-process-killed",
        fault="pool process killed as by the OOM killer",
        inflict=how.pool_process_killed,
        seconds=1,
        leases_lost=EVENTS_PER_REQUEST,
    ),
    Row(
        name="worker-sigterm",
        fault="worker ended by SIGTERM under load, another started",
        inflict=how.worker_ended(signal.SIGTERM),
        seconds=0,
    ),
    Row(
        name="worker-sigquit",
        fault="worker ended by SIGQUIT under load, another started",
        inflict=how.worker_ended(signal.SIGQUIT),
        seconds=0,
        leases_lost=IN_FLIGHT,
    ),
    # -- triggers
    Row(
        name="beat-dead",
        fault="no beat; events leave by age",
        inflict=how.beat_dead,
        seconds=4,
        traffic=_TRICKLE,
        least_requests=2,
    ),
    Row(
        name="beat-stalled",
        fault="beat stopped (SIGSTOP); events leave by age",
        inflict=how.beat_stalled,
        seconds=4,
        traffic=_TRICKLE,
        least_requests=2,
    ),
    Row(name="two-beats", fault="two beats", inflict=how.two_beats, least_requests=2),
    Row(
        name="hints-lost",
        fault="as many wake-ups as possible deleted",
        inflict=how.hints_lost,
        least_requests=2,
    ),
    Row(
        name="hints-repeated",
        fault="ten extra wake-ups, ten times a second",
        inflict=how.hints_repeated,
        least_requests=2,
    ),
    # -- Redis
    Row(
        name="redis-killed",
        fault="Redis killed (SIGKILL), back after 2 s from its AOF",
        inflict=how.redis_killed,
        seconds=2,
    ),
    Row(
        name="redis-frozen-1",
        fault="Redis stopped (SIGSTOP) for 1 s",
        inflict=how.outage(outages.hung),
        seconds=1,
    ),
    Row(
        name="redis-frozen-8",
        fault="Redis stopped (SIGSTOP) for 8 s, longer than a lease",
        inflict=how.outage(outages.hung),
        seconds=LEASE_SECONDS + 2,
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="redis-frozen-30",
        fault="Redis stopped (SIGSTOP) for 30 s",
        inflict=how.outage(outages.hung),
        seconds=30,
        leases_lost=IN_FLIGHT,
        soak=False,
    ),
    Row(
        name="redis-read-only",
        fault="Redis refuses writes (REPLICAOF)",
        inflict=how.outage(outages.read_only),
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="redis-password",
        fault="Redis requires another password",
        inflict=how.outage(outages.wrong_password),
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="redis-full",
        fault="Redis at its maxmemory, then freed; separate broker",
        inflict=how.outage(outages.out_of_memory),
        kit=_OWN_BROKER,
    ),
    Row(
        name="redis-full-shared",
        fault="the same, with Redis as the broker too",
        inflict=how.outage(outages.out_of_memory),
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="scripts-flushed",
        fault="SCRIPT FLUSH, ten times a second",
        inflict=how.scripts_flushed,
    ),
    Row(
        name="redis-lost-tail",
        fault="Redis killed, its AOF lacks the last second: not promised, but counted",
        inflict=how.redis_lost_tail,
        seconds=1,
        leases_lost=1_000,
        loss="counted",
        soak=False,
    ),
    Row(
        name="redis-emptied",
        fault="FLUSHALL: not promised, but recorded",
        inflict=how.redis_emptied,
        seconds=0,
        loss="noted",
        soak=False,
    ),
    Row(
        name="broker-killed",
        fault="Celery's broker killed, back after 3 s; the worker goes on without it",
        inflict=how.broker_killed,
        kit=_OWN_BROKER,
        least_requests=2,
    ),
    Row(
        name="broker-killed-gevent",
        fault="the same, with Celery's gevent pool",
        inflict=how.broker_killed,
        kit=Kit(own_broker=True, pool="gevent"),
        least_requests=2,
        soak=False,
    ),
    Row(
        name="sentinel-failover",
        fault="the master of a Sentinel group killed, wait_replicas=1",
        inflict=how.failed_over,
        seconds=1,
        kit=Kit(store="sentinel", own_broker=True),
        settings={"VWO_CELERY_WAIT_REPLICAS": "1"},
        leases_lost=IN_FLIGHT,
        soak=False,
    ),
    Row(
        name="cluster-resharded",
        fault="the queue's slot moves four times through a Redis Cluster",
        inflict=how.resharded,
        seconds=1,
        kit=Kit(store="cluster", own_broker=True),
        soak=False,
    ),
    # -- the network to Redis
    Row(
        name="applications-partitioned",
        fault="applications cannot reach Redis (blackhole); what they sent arrives late",
        inflict=how.on_line("applications", lambda line: line.blackhole(late_commands=True)),
    ),
    Row(
        name="applications-reset",
        fault="applications are reset by Redis",
        inflict=how.on_line("applications", TcpProxy.reset),
    ),
    Row(
        name="applications-half-open",
        fault="applications' connections half-open, new ones pass",
        inflict=how.on_line("applications", TcpProxy.strand),
    ),
    Row(
        name="applications-cut",
        fault="applications' connections cut, five times a second",
        inflict=how.cut_often("applications"),
    ),
    Row(
        name="applications-slow",
        fault="20 ms between applications and Redis, each way",
        inflict=how.on_line("applications", lambda line: line.delay(0.02)),
    ),
    Row(
        name="applications-too-slow",
        fault="300 ms each way, more than an enqueue may take",
        inflict=how.on_line("applications", lambda line: line.delay(0.3)),
    ),
    Row(
        name="push-replies-lost",
        fault="every answer to a push lost, after it was stored",
        inflict=how.on_line("applications", TcpProxy.swallow_replies),
    ),
    Row(
        name="push-reply-lost",
        fault="one answer to a push lost, 20 times in a row",
        inflict=how.on_line("applications", lambda line: line.drop_reply_to(b"EVALSHA", 20)),
    ),
    Row(
        name="worker-partitioned",
        fault="worker cannot reach Redis (blackhole)",
        inflict=how.on_line("worker", lambda line: line.blackhole(late_commands=True)),
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="worker-half-open",
        fault="worker's connections half-open, new ones pass",
        inflict=how.on_line("worker", TcpProxy.strand),
        leases_lost=IN_FLIGHT,
        recover_seconds=60,
    ),
    Row(
        name="worker-cut",
        fault="worker's connections cut, five times a second",
        inflict=how.cut_often("worker"),
    ),
    Row(
        name="claim-reply-lost",
        fault="answers to five claims lost",
        inflict=how.on_line("worker", lambda line: line.drop_reply_to(how.sha_of("claim"), 5)),
    ),
    Row(
        name="ack-reply-lost",
        fault="answers to five acks lost",
        inflict=how.on_line("worker", lambda line: line.drop_reply_to(how.sha_of("ack"), 5)),
    ),
    # -- VWO
    Row(name="vwo-500", fault="VWO answers 500", inflict=how.vendor(500)),
    Row(
        name="vwo-429",
        fault="VWO answers 429, Retry-After 1 s",
        inflict=how.vendor(Fault(status=429, headers=(("Retry-After", "1"),))),
    ),
    Row(
        name="vwo-413",
        fault="VWO accepts at most 7 events (413)",
        inflict=how.vendor(how.refuse_many(7)),
    ),
    Row(
        name="vwo-400",
        fault="VWO cannot read one event in a hundred (400)",
        inflict=how.vendor(how.refuse_poison),
        traffic=Traffic(poison_every=100),
        dead="poison",
    ),
    Row(
        name="vwo-silent",
        fault="VWO never answers",
        inflict=how.vendor("hang"),
        seconds=4,
    ),
    Row(
        name="vwo-drips",
        fault="VWO's answer arrives byte by byte, too slowly",
        inflict=how.vendor("trickle"),
        seconds=4,
    ),
    Row(
        name="vwo-reset-early",
        fault="VWO resets the connection, nothing accepted",
        inflict=how.vendor("reset"),
    ),
    Row(
        name="vwo-reset-late",
        fault="VWO accepts a batch, then resets the connection",
        inflict=how.vendor(Fault(connection="reset", accepted=True)),
    ),
    Row(
        name="vwo-down", fault="VWO down (connections refused)", inflict=how.vendor_down, seconds=6
    ),
    Row(
        name="vwo-outage",
        fault="VWO answers 503 for 10 s; requests are bounded by probes",
        inflict=how.vendor(503),
        seconds=10,
        most_requests=40,
    ),
    # -- applications
    Row(
        name="applications-killed",
        fault="applications killed (SIGKILL), others started",
        inflict=how.applications_killed,
        seconds=0,
    ),
    Row(
        name="applications-killed-spooling",
        fault="applications killed while Redis is away; others drain their spool",
        inflict=how.applications_killed_spooling,
    ),
)

#: The most important rows, for a run of less than a minute.
SHORT = (
    "worker-killed-in-post",
    "redis-killed",
    "applications-partitioned",
    "push-replies-lost",
    "vwo-reset-late",
)
