"""One row tried on a fleet: load, fault, healing, and the oracle's judgement."""

from __future__ import annotations

import time
from contextlib import suppress

import msgspec

from chaos.faults import Row
from chaos.fleet import Fleet
from chaos.oracle import Evidence, Judgement, judge
from tools.waiting import wait_until
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.looks.snapshots import Snapshot

_WARM_EVENTS = 20
_WARM_SECONDS = 30.0
#: Duration of the load after healing: recovery is not measured at rest.
_AFTER_SECONDS = 1.0
_SETTLE_SECONDS = 20.0
#: Time for calls in progress when the applications are told to be quiet.
_LAST_CALL_SECONDS = 0.5


class Result(msgspec.Struct, frozen=True):
    """Result of one trial.
    Attributes:
        row: The row's name.
        promised: Number of promised events.
        spooled: Promised events with a receipt "spooled".
        dropped: Events with a receipt "dropped".
        lost: Promised events that are found nowhere.
        duplicated: Acceptances beyond the first of each event.
        repeated: Events that clients sent to a relay more than once.
        dead: Events among the dead letters.
        longest_enqueue_ms: Longest call of an application.
        recover_seconds: From healing until all events promised by then were settled; None: never.
        requests: Requests to VWO during the fault.
        accounted: The ledger's record of Redis' own loss.
        notes: Programs that ended by themselves and were started again.
        problems: Broken promises.
    """

    row: str
    promised: int
    spooled: int
    dropped: int
    lost: int
    duplicated: int
    repeated: int
    dead: int
    longest_enqueue_ms: float
    recover_seconds: float | None
    requests: int
    accounted: str
    notes: tuple[str, ...]
    problems: tuple[str, ...]


class Recovery(msgspec.Struct, frozen=True):
    """The fleet's recovery from the fault."""

    seconds: float | None = None
    requests: int = 0
    failure: str = ""


def try_row(fleet: Fleet, row: Row) -> Result:
    """Try *row* with a queue of its own, and judge the result."""
    fleet.open_queue(row.traffic, **row.settings)
    recovery = _go_through(fleet, row)
    fleet.applications.hush()
    fleet.hold(_LAST_CALL_SECONDS)
    with suppress(TimeoutError):  # the judgement reports what is left
        fleet.wait_until(lambda: _is_settled(fleet, row), _SETTLE_SECONDS)
    result = _result(fleet, row, recovery)
    fleet.applications.end()
    fleet.fates.forget()
    return result


def _go_through(fleet: Fleet, row: Row) -> Recovery:
    """Load, fault, healing, recovery; a step that cannot be made is a failure."""
    requests = 0
    try:
        fleet.wait_until(
            lambda: len(fleet.fates.accepted()) >= _WARM_EVENTS, _WARM_SECONDS, "the first events"
        )
        before = fleet.fates.asked()
        with row.inflict(fleet):
            fleet.hold(row.seconds)
            with suppress(TimeoutError):  # the judgement counts them; a busy machine takes longer
                fleet.wait_until(
                    lambda: fleet.fates.asked() - before >= row.least_requests,
                    row.recover_seconds,
                )
            requests = fleet.fates.asked() - before
        healed = time.monotonic()
        owed = _owed(fleet, row)
        fleet.wait_until(lambda: not _missing(fleet, row, owed), row.recover_seconds, "recovery")
    except (TimeoutError, AssertionError) as exc:
        return Recovery(None, requests, f"{exc}".partition("\n")[0])
    took = time.monotonic() - healed
    fleet.hold(max(0, _AFTER_SECONDS - took))
    return Recovery(took, requests)


def _owed(fleet: Fleet, row: Row) -> frozenset[str]:
    """Events promised so far, or from now on if Redis may have lost the earlier ones."""
    fleet.receipts.read()
    before = frozenset(fleet.receipts.promised)
    if row.loss == "none":
        return fleet.fates.undelivered()

    def is_promised() -> bool:
        fleet.receipts.read()
        return len(fleet.receipts.promised) > len(before)

    fleet.wait_until(is_promised, row.recover_seconds, "an event promised after the loss")
    return frozenset(fleet.receipts.promised) - before


def _missing(fleet: Fleet, row: Row, owed: frozenset[str]) -> frozenset[str]:
    """Those of *owed* that VWO has not accepted and that are not dead."""
    fates = fleet.fates
    missing = owed & fates.undelivered() if row.loss == "none" else owed - fates.accepted()
    return missing - fates.held()[0] if missing and row.dead != "none" else missing


def _is_settled(fleet: Fleet, row: Row) -> bool:
    """Whether no event waits any more, in Redis or on a disk."""
    fleet.receipts.read()
    spooled = fleet.fates.spooled()  # looked at first: what leaves a disk goes to Redis
    try:
        dead, kept = fleet.fates.held()[0], _kept(fleet.fates.snapshot())
    except QueueUnavailable:  # Redis is busy with what an outage held up
        return False
    missing = fleet.fates.undelivered() - dead if row.loss == "none" else ()
    return not (spooled or missing or kept)


def _kept(snapshot: Snapshot) -> int:
    """Number of events that Redis holds and a worker is still to send, all of one moment."""
    return snapshot.pending + snapshot.events("released") + snapshot.events("in_flight")


def _held(fleet: Fleet) -> tuple[frozenset[str], frozenset[str]] | None:
    """What Redis holds; None while a part of a Cluster that was replaced does not answer yet."""
    with suppress(QueueUnavailable):
        return fleet.fates.held()
    return None


def _result(fleet: Fleet, row: Row, recovery: Recovery) -> Result:
    receipts = fleet.receipts
    dead, waiting = wait_until(lambda: _held(fleet), 10, what="every part of Redis")
    judgement = judge(
        Evidence(
            promised=frozenset(receipts.promised),
            taken=fleet.fates.taken(),
            dead=dead,
            waiting=waiting,
            next_number=receipts.next_number,
            burst=2 * row.traffic.burst + 1,
            repeats=receipts.repeats,
        )
    )
    problems = [*_broken(row, fleet, judgement, recovery), *_unbalanced(fleet, row, judgement)]
    if row.dead == "none" and dead:
        problems.append(f"{len(dead)} events are dead letters")
    if row.dead == "poison":
        problems += _wrongly_dead(fleet, dead)
    return Result(
        row=row.name,
        promised=judgement.promised,
        spooled=receipts.spooled,
        dropped=sum(receipts.dropped.values()),
        lost=len(judgement.lost),
        duplicated=judgement.duplicated,
        repeated=len(receipts.repeats),
        dead=len(dead),
        longest_enqueue_ms=receipts.longest_ms,
        recover_seconds=recovery.seconds,
        requests=recovery.requests,
        accounted=_accounted(fleet),
        notes=tuple(fleet.deaths),
        problems=tuple(problems),
    )


def _broken(row: Row, fleet: Fleet, judgement: Judgement, recovery: Recovery) -> list[str]:
    receipts = fleet.receipts
    most_requests = row.most_requests if row.most_requests is not None else recovery.requests
    misplaced = fleet.fates.misplaced()
    raised = [reason for reason in receipts.dropped if reason.startswith("raised:")]
    found = {
        f"{len(judgement.lost)} promised events are lost, such as {_some(judgement.lost)}": (
            judgement.lost and row.loss == "none"
        ),
        f"{len(judgement.waiting)} promised events still wait": judgement.waiting,
        f"{judgement.unexcused} events came again after VWO's answer, at most {row.leases_lost} "
        f"may: requests {_some(judgement.batches)}": judgement.unexcused > row.leases_lost,
        f"VWO got events that nobody made: {_some(judgement.strangers)}": judgement.strangers,
        f"VWO got events under another account: {_some(misplaced)}": misplaced,
        f"enqueue raised: {', '.join(raised)}": raised,
        f"events were dropped: {dict(receipts.dropped)}": receipts.dropped and not row.dropped,
        f"clients had to send {len(receipts.repeats)} events again": (
            receipts.repeats and not row.repeated
        ),
        "no client had to send again: nothing was tried": row.repeated and not receipts.repeats,
        f"one enqueue took {receipts.longest_ms:.0f} ms": (
            receipts.longest_ms > row.longest_enqueue_ms
        ),
        f"not recovered: {recovery.failure}": recovery.failure,
        f"VWO got {recovery.requests} requests, at most {most_requests} were to come": (
            recovery.requests > most_requests
        ),
        f"VWO got {recovery.requests} requests meanwhile, at least {row.least_requests} were to come": (
            recovery.requests < row.least_requests
        ),
        "no event was promised: nothing was tried": not judgement.promised,
    }
    return [problem for problem, holds in found.items() if holds]


def _some(names: frozenset[str] | frozenset[int]) -> str:
    return ", ".join(map(str, sorted(names)[:5]))


def _unbalanced(fleet: Fleet, row: Row, judgement: Judgement) -> list[str]:
    snapshot = fleet.fates.snapshot()
    counted, lost = sum(snapshot.dropped.values()), len(judgement.lost)
    kept = _kept(snapshot)
    found = {
        f"{kept} events are still to be sent": kept,
        "the ledger is out of balance": not snapshot.balanced,
        f"the ledger counts {counted} dropped events: {snapshot.dropped}": (
            counted and row.loss == "none" and not row.dropped
        ),
        f"{lost} events are lost and the ledger counts {counted}": (
            row.loss == "counted" and counted < lost
        ),
        "the ledger does not say that Redis forgot all it knew": (
            row.loss == "noted" and not snapshot.forgotten_ms
        ),
        f"the ledger counts {snapshot.accepted} events, the receipts {judgement.promised}": (
            snapshot.accepted < judgement.promised and row.loss == "none"
        ),
        f"the queue is paused: {snapshot.paused}": snapshot.paused,
    }
    return [problem for problem, holds in found.items() if holds]


def _accounted(fleet: Fleet) -> str:
    snapshot = fleet.fates.snapshot()
    counted = ", ".join(f"{reason} {count:,}" for reason, count in snapshot.dropped.items())
    return counted or ("Redis forgot everything" if snapshot.forgotten_ms else "nothing")


def _wrongly_dead(fleet: Fleet, dead: frozenset[str]) -> list[str]:
    unreadable = fleet.fates.unreadable()
    good = dead - unreadable
    found = {
        f"{len(good)} good events are dead letters: {_some(good)}": good,
        "no event that VWO cannot read was put aside: nothing was tried": not unreadable,
    }
    return [problem for problem, holds in found.items() if holds]
