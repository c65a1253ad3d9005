"""Faults of the network between Redis and its clients.

Each fault is a context manager on a running fleet: inflicted on entry, healed on exit. The caller
decides how long it lasts. If healing starts a program again, the exit returns when that program is
ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chaos.faults.row import IN_FLIGHT, REPEAT_SECONDS, Infliction, Row, again_and_again
from chaos.fleet import Fleet
from tools.tcpproxy import TcpProxy
from vwo_celery.queue.scripts import script


def on_line(whose: str, inflict: Callable[[TcpProxy], None]) -> Infliction:
    """Apply *inflict* to the proxies of "applications", "worker" or "all"."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        lines = {"applications": fleet.single.application_line, "worker": fleet.single.worker_line}
        chosen = list(lines.values()) if whose == "all" else [lines[whose]]
        for line in chosen:
            inflict(line)
        yield
        for line in chosen:
            line.drop_reply_to(b"", 0)
            line.pass_through()

    return infliction


def cut_often(whose: str) -> Infliction:
    """Every connection of "applications" or "worker" is reset, again and again."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        line = {"applications": fleet.single.application_line, "worker": fleet.single.worker_line}[
            whose
        ]
        with again_and_again(line.cut_connections, 2 * REPEAT_SECONDS):
            yield

    return infliction


def sha_of(name: str) -> bytes:
    """The SHA by which a command runs one of our scripts."""
    return script(name).sha.encode()


#: Rows of the fault matrix.
ROWS = (
    Row(
        name="applications-partitioned",
        fault="applications cannot reach Redis (blackhole); what they sent arrives late",
        inflict=on_line("applications", lambda line: line.blackhole(late_commands=True)),
    ),
    Row(
        name="applications-reset",
        fault="applications are reset by Redis",
        inflict=on_line("applications", TcpProxy.reset),
    ),
    Row(
        name="applications-half-open",
        fault="applications' connections half-open, new ones pass",
        inflict=on_line("applications", TcpProxy.strand),
    ),
    Row(
        name="applications-cut",
        fault="applications' connections cut, five times a second",
        inflict=cut_often("applications"),
    ),
    Row(
        name="applications-slow",
        fault="20 ms between applications and Redis, each way",
        inflict=on_line("applications", lambda line: line.delay(0.02)),
    ),
    Row(
        name="applications-too-slow",
        fault="300 ms each way, more than an enqueue may take",
        inflict=on_line("applications", lambda line: line.delay(0.3)),
    ),
    Row(
        name="push-replies-lost",
        fault="every answer to a push lost, after it was stored",
        inflict=on_line("applications", TcpProxy.swallow_replies),
    ),
    Row(
        name="push-reply-lost",
        fault="one answer to a push lost, 20 times in a row",
        inflict=on_line("applications", lambda line: line.drop_reply_to(b"EVALSHA", 20)),
    ),
    Row(
        name="worker-partitioned",
        fault="worker cannot reach Redis (blackhole)",
        inflict=on_line("worker", lambda line: line.blackhole(late_commands=True)),
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="worker-half-open",
        fault="worker's connections half-open, new ones pass",
        inflict=on_line("worker", TcpProxy.strand),
        leases_lost=IN_FLIGHT,
        recover_seconds=60,
    ),
    Row(
        name="worker-cut",
        fault="worker's connections cut, five times a second",
        inflict=cut_often("worker"),
    ),
    Row(
        name="claim-reply-lost",
        fault="answers to five claims lost",
        inflict=on_line("worker", lambda line: line.drop_reply_to(sha_of("claim"), 5)),
    ),
    Row(
        name="ack-reply-lost",
        fault="answers to five acks lost",
        inflict=on_line("worker", lambda line: line.drop_reply_to(sha_of("ack"), 5)),
    ),
)
