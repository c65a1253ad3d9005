"""Faults with relays in the way: the applications are HTTP clients, of both generations and two accounts.

What a relay answered 200 is promised. Its clients send the rest again; whether that was stored before
is open. Each fault is a context manager on a running fleet: inflicted on entry, healed on exit. The
caller decides how long it lasts. If healing starts a program again, the exit returns when that program
is ready.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import psutil

from chaos.faults.network import on_line
from chaos.faults.row import SOON_SECONDS, Row, nothing
from chaos.faults.servers import outage, redis_killed
from chaos.faults.vendor import vendor_down
from chaos.fleet import Fleet
from chaos.kit import Kit, Traffic
from chaos.relayed import Held
from chaos.relays import wait_until_read
from tools import redis_outages as outages
from tools.installation import KEY, event
from tools.processes import Process
from tools.tcpproxy import TcpProxy

#: Way to Redis and back while a relay is killed or ended, less than an enqueue may take: requests are
#: then always under way, and an answer that came too early shows.
_DELAY_SECONDS = 0.05
#: Time for this to begin.
_BEGIN_SECONDS = 0.5
#: Processes killed one after another.
_KILLS = 3
#: Requests that a relay has read when it is asked to end.
_HELD = 20

ONE = Kit(relays=1)
TWO = Kit(relays=2)
#: A relay of several processes.
SEVERAL = Kit(relays=1, relay_workers=3)
NO_SPOOL = Kit(relays=1, relay_spool=False)
_TRAFFIC = Traffic(applications=4, per_second=25, burst=15)
#: Clients that send the next event as soon as the last one is answered, or nearly so.
_BUSY = Traffic(applications=4, per_second=50, burst=5)
#: Clients that do not wait for answers, as PHP's FME SDK, among others that do.
_CLOSING = Traffic(
    applications=4, per_second=25, burst=15, forms=("closing", "closing", "legacy", "fme")
)
#: Longest enqueue of a client that sends again until a relay is back.
_PATIENT_MS = 60_000.0


@contextmanager
def slow_line(fleet: Fleet) -> Iterator[None]:
    """Requests are under way at every moment; at the end, what Redis has not got yet is lost."""
    line = fleet.single.application_line
    line.delay(_DELAY_SECONDS)
    fleet.hold(_BEGIN_SECONDS)
    yield
    line.cut_connections()
    line.pass_through()


@contextmanager
def relay_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of a relay and its processes, with requests under way."""
    with slow_line(fleet):
        relay = fleet.relays.take()
        relay.kill()
    yield
    fleet.relays.put_back(relay)
    _wait_for_clients(fleet)


@contextmanager
def relay_killed_spooling(fleet: Fleet) -> Iterator[None]:
    """Redis is away, the relay spools and is killed; the next one drains its spool."""
    with on_line("applications", TcpProxy.reset)(fleet):
        fleet.wait_until(fleet.fates.spool_files, SOON_SECONDS, "the first spooled event")
        yield
        relay = fleet.relays.take()
        relay.kill()
        fleet.relays.put_back(relay)
    _wait_for_clients(fleet)


@contextmanager
def relay_processes_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of one of a relay's processes, the one with the most clients; three times."""
    (relay,) = fleet.relays.running
    for _ in range(_KILLS):
        with slow_line(fleet):
            killed = fleet.relays.busiest(relay)
            killed.kill()
        fleet.wait_until(partial(_is_replaced, fleet, relay, killed), SOON_SECONDS, "another one")
    yield
    _wait_for_clients(fleet)


def _is_replaced(fleet: Fleet, relay: Process, killed: psutil.Process) -> bool:
    serving = fleet.relays.serving(relay)
    return killed not in serving and len(serving) == fleet.kit.relay_workers


def _wait_for_clients(fleet: Fleet) -> None:
    """Return once each client was answered 200 again."""
    numbers = fleet.receipts.next_number
    fleet.receipts.read()
    before = {each.name: numbers.get(each.name, 0) for each in fleet.applications.running}

    def are_served() -> bool:
        fleet.receipts.read()
        return all(numbers.get(name, 0) > number for name, number in before.items())

    fleet.wait_until(are_served, SOON_SECONDS, "a 200 for every client")


@contextmanager
def redis_away_without_spool(fleet: Fleet) -> Iterator[None]:
    """Redis resets every connection of a relay that has no spool: it answers 503."""
    with on_line("applications", TcpProxy.reset)(fleet):
        yield
    _wait_for_clients(fleet)


@contextmanager
def relay_ended(fleet: Fleet) -> Iterator[None]:
    """SIGTERM under load: what the relay has read is answered and stored, and it ends by itself."""
    relay = fleet.relays.take()
    _end(fleet, relay)
    yield
    fleet.relays.put_back(relay)
    _wait_for_clients(fleet)


@contextmanager
def relay_frozen(fleet: Fleet) -> Iterator[None]:
    """SIGSTOP of a relay, and of all connections with it, as of a virtual machine that is moved."""
    (relay, *_) = fleet.relays.running
    os.kill(relay.pid, signal.SIGSTOP)
    yield
    os.kill(relay.pid, signal.SIGCONT)


@contextmanager
def relays_ended_in_turn(fleet: Fleet) -> Iterator[None]:
    """A rolling restart of all relays; clients go to one that serves."""
    for _ in range(len(fleet.relays.running)):
        relay = fleet.relays.take()
        _end(fleet, relay)
        fleet.relays.put_back(relay)
    yield
    _wait_for_clients(fleet)


def _end(fleet: Fleet, relay: Process) -> None:
    """End a relay by SIGTERM; what it has read before is answered 200, and so promised."""
    line = fleet.single.application_line
    line.delay(_DELAY_SECONDS)
    name = f"held{uuid4().hex}"
    events = [event(f"{name}-{number}") for number in range(_HELD)]
    held = Held(fleet.relays.ports[relay.name], fleet.account, KEY, events)
    wait_until_read(held.ports)
    relay.ask_to_end()
    answers = held.answers()
    line.pass_through()
    lines = [f"{number} 1 answered - 0\n" for number in range(_HELD)]
    fleet.receipts.file(name).write_text("".join(lines))
    assert answers == [200] * _HELD, f"what the relay had read was answered {answers}"
    code = relay.wait(SOON_SECONDS)
    assert code == 0, f"the relay ended with {code}"


@contextmanager
def redis_away(fleet: Fleet) -> Iterator[None]:
    """Redis resets every connection of the relays, whose spool takes the events."""
    with on_line("applications", TcpProxy.reset)(fleet):
        fleet.wait_until(fleet.fates.spool_files, SOON_SECONDS, "the first spooled event")
        yield


def _row(name: str, fault: str, **promise: Any) -> Row:
    """A row with a relay in the way; the soak has none."""
    given = {"kit": ONE, "traffic": _TRAFFIC, "soak": False, **promise}
    return Row(name=name, fault=fault, **given)


#: Rows of the fault matrix.
ROWS = (
    _row("relay-none", "a relay in the way, no fault, to compare with", inflict=nothing),
    _row(
        "relay-killed",
        "relay killed (SIGKILL) with requests under way, back after 1 s",
        inflict=relay_killed,
        traffic=_BUSY,
        seconds=1,
        repeated=True,
        longest_enqueue_ms=_PATIENT_MS,
    ),
    _row(
        "relay-ended",
        "relay ended by SIGTERM with requests under way, back after 1 s; what it has read is answered",
        inflict=relay_ended,
        seconds=1,
        repeated=True,
        longest_enqueue_ms=_PATIENT_MS,
    ),
    _row(
        "relay-killed-spooling",
        "relay killed while Redis is away; the next one drains its spool",
        inflict=relay_killed_spooling,
        seconds=2,
        repeated=True,
        longest_enqueue_ms=_PATIENT_MS,
    ),
    _row(
        "relay-redis-away",
        "relay reset by Redis: its spool takes the events, and no client sends again",
        inflict=redis_away,
    ),
    _row(
        "relay-redis-killed",
        "Redis killed (SIGKILL) behind a relay, back after 2 s from its AOF",
        inflict=redis_killed,
        seconds=2,
    ),
    _row(
        "relay-redis-frozen",
        "Redis stopped (SIGSTOP) behind a relay for 1 s",
        inflict=outage(outages.hung),
        seconds=1,
    ),
    _row(
        "relay-replies-lost",
        "one answer to a relay's push lost, 20 times in a row",
        inflict=on_line("applications", lambda line: line.drop_reply_to(b"EVALSHA", 20)),
    ),
    _row(
        "relay-vwo-down",
        "VWO down (connections refused) behind a relay",
        inflict=vendor_down,
        seconds=6,
    ),
    _row(
        "relay-clients-close",
        "clients close a relay's connections at once, as PHP's do, while Redis takes 100 ms",
        inflict=on_line("applications", lambda line: line.delay(_DELAY_SECONDS)),
        traffic=_CLOSING,
    ),
    _row(
        "relay-clients-close-spooling",
        "the same while Redis is away: the relay's spool takes their events",
        inflict=redis_away,
        traffic=_CLOSING,
    ),
    _row(
        "relay-no-spool",
        "relay without a spool reset by Redis: 503, and its clients send again",
        inflict=redis_away_without_spool,
        kit=NO_SPOOL,
        repeated=True,
        dropped=True,
        longest_enqueue_ms=_PATIENT_MS,
    ),
    _row(
        "relay-process-killed",
        "one of a relay's three processes killed with requests under way, three times",
        inflict=relay_processes_killed,
        traffic=_BUSY,
        seconds=0,
        kit=SEVERAL,
        repeated=True,
        longest_enqueue_ms=_PATIENT_MS,
    ),
    _row(
        "relays-killed-in-part",
        "one of two relays killed (SIGKILL) with requests under way, back after 2 s",
        inflict=relay_killed,
        traffic=_BUSY,
        seconds=2,
        kit=TWO,
        repeated=True,
        longest_enqueue_ms=_PATIENT_MS,
    ),
    _row(
        "relays-frozen-in-part",
        "one of two relays stopped (SIGSTOP) for 3 s; its clients wait",
        inflict=relay_frozen,
        kit=TWO,
        longest_enqueue_ms=_PATIENT_MS,
    ),
    _row(
        "relays-restarted",
        "two relays restarted by SIGTERM in turn under load",
        inflict=relays_ended_in_turn,
        seconds=0,
        kit=TWO,
        repeated=True,
        longest_enqueue_ms=_PATIENT_MS,
    ),
)
