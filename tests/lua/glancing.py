"""Compare a glance of a shard with its snapshot: what is counted with what is there."""

from __future__ import annotations

from msgspec.structs import asdict

from vwo_celery.queue.looks.counters import Counters
from vwo_celery.queue.looks.glances import Failed, Glance, take_glances
from vwo_celery.queue.looks.snapshots import BatchView, Snapshot, _read_by_script, _snapshot
from vwo_celery.queue.shard import Shard


def check_glance(shard: Shard) -> None:
    """Fail unless every field of the glance is what the snapshot's batches show."""
    raw = _read_by_script(shard)
    (glance,) = take_glances([shard])
    # By the clock of the glance, which goes on between the two.
    raw = raw._replace(time=(glance.now_ms // 1000, glance.now_ms % 1000 * 1000))
    snapshot = _snapshot(shard.keys.name, raw)

    assert glance == expected_glance(shard, snapshot)
    if (
        snapshot.open_events >= snapshot.open_counted
    ):  # else events vanished, and no sweep has noticed
        assert glance.balanced
        assert glance.balanced == snapshot.balanced


def expected_glance(shard: Shard, snapshot: Snapshot) -> Glance:
    """The glance of a shard at the time of its snapshot."""
    ready = {batch.decode() for batch in shard.client.zrange(shard.keys.ready, 0, -1)}
    of = snapshot.batches_in
    expired = [batch for batch in of("ready") if batch.id not in ready]
    waiting = [batch for batch in snapshot.batches if batch.id in ready]
    leaving = {batch.decode() for batch in shard.client.hkeys(shard.keys.leaving)}
    alive = [b for b in snapshot.batches if b.state != "dead" and b.id not in leaving]
    hidden = [batch for batch in waiting if batch.at_ms > snapshot.now_ms]
    counters = {name: asdict(snapshot)[name] for name in Counters.__struct_fields__}
    return Glance(
        **counters,
        shard=snapshot.shard,
        now_ms=snapshot.now_ms,
        ready_events=snapshot.events("ready"),
        in_flight_events=snapshot.events("in_flight"),
        released_events=snapshot.events("released"),
        ready_batches=len(of("ready")),
        in_flight_batches=len(of("in_flight")),
        released_batches=len(of("released")),
        leased_batches=sum(batch.id not in leaving for batch in of("in_flight")),
        dead_batches=len(of("dead")),
        due_batches=len(waiting) - len(hidden) + len(expired),
        hidden_batches=len(hidden),
        slots=snapshot.slots,
        oldest_ms=min([*_open(snapshot), *(batch.first_ms for batch in alive)], default=0),
        first_due_ms=_first_due_ms(snapshot, waiting, expired),
        next_try_ms=_next_try_ms(snapshot, hidden),
        failed=_failed(alive),
        failed_waiting=_failed(of("released")),
        unreadable=snapshot.unreadable,
    )


def _open(snapshot: Snapshot) -> list[int]:
    return [snapshot.open_first_ms or snapshot.now_ms] if snapshot.open_events else []


def _first_due_ms(snapshot: Snapshot, waiting: list[BatchView], expired: list[BatchView]) -> int:
    due = [first + snapshot.wait_ms for first in _open(snapshot)]
    for those in (waiting, expired):
        next_one = min(those, key=lambda batch: (batch.at_ms, batch.id), default=None)
        if next_one is not None and next_one.at_ms <= snapshot.now_ms:
            due.append(max(next_one.first_ms + snapshot.wait_ms, next_one.at_ms))
    return min(due, default=0)


def _next_try_ms(snapshot: Snapshot, hidden: list[BatchView]) -> int:
    released = snapshot.batches_in("released")
    if not released:
        return 0
    if len(released) > len(hidden):
        return snapshot.now_ms
    return min(batch.at_ms for batch in hidden)


def _failed(alive: list[BatchView]) -> Failed | None:
    failed = [batch for batch in alive if batch.attempt and batch.error]
    if not failed:
        return None
    worst = max(failed, key=lambda batch: (batch.attempt, batch.events, batch.id))
    return Failed(worst.id, worst.state, worst.events, worst.attempt, worst.error)
