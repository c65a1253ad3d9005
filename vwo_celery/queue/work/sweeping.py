"""The sweep: seals batches by age and wakes workers for everything that is due.

Stage 2 of an event's way. A wake-up is only a hint and may be lost at any point: the sweep finds
whatever is due, and any number of sweepers may run at once. If the process dies here, no event is
lost; a wake-up's slot expires, and the next sweep goes on.
"""

from __future__ import annotations

import random
from collections.abc import Container, Iterator
from contextlib import contextmanager
from functools import partial

from redis.exceptions import ResponseError

from vwo_celery.connections import unavailable
from vwo_celery.connections.errors import advise, is_error_reply, is_trouble_of_redis
from vwo_celery.connections.troubles import trouble_of
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import seldom
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.surveys import due_shards, holding
from vwo_celery.queue.parts import part_of
from vwo_celery.queue.pipelining import Call, run_all
from vwo_celery.queue.routes import Route, lost_until, probe_is_due
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.answers import Pushed, Swept
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import departures, stranded

#: Registered queues that one sweep checks for events that nobody announced.
AUDITED_QUEUES = 100
#: Age from which a wake-up counts as lost while nobody can tell how far the task messages have come.
_LOST_AFTER_MS = 3_000
#: Time after which the sweep forgets a shard that has held nothing.
IDLE_SECONDS = 600.0
#: Shards whose slots are given out before the messages of those before them are published.
SHARDS_AT_ONCE = 100


def tokens(stem: str, count: int) -> Iterator[str]:
    """Tokens of the wake-up slots that a script handed out under *stem*."""
    return (f"{stem}:{i}" for i in range(1, count + 1))


def sweep(fleet: Fleet, *, by: str) -> list[Wakeup]:
    """Seal events that are old enough and find ready batches, in every queue that holds something.

    Args:
        fleet: The queues.
        by: The runner, "beat" or "listener", for the sign of life.

    Returns:
        Wake-ups; each is to become one `deliver` task.

    Raises:
        QueueUnavailable: Redis did not answer; the next sweep makes up for it.
    """
    return list(sweep_step_by_step(fleet, by=by))


def sweep_step_by_step(fleet: Fleet, *, by: str) -> Iterator[Wakeup]:
    """Do the same, some shards at a time: each part is swept when the wake-ups before it are taken.

    A slot whose message is published long after it was given out would count as lost, and be given
    out again while its message waits.
    """
    now_ms, lost_until_ms, routes = _look_at_routes(fleet, by)
    fleet = fleet.reader  # no shard waits for a part that is away; a later sweep finds it again
    names = fleet.watched_names()
    with skipping_refusals("the patrol"):
        names += _audit(fleet, frozenset(names))
    names = fleet.on_living_parts(names)
    due, overdue, _ = due_shards(fleet, names, as_ms(IDLE_SECONDS), lost_until_ms)
    idle: list[Shard] = []
    for start in range(0, len(due), SHARDS_AT_ONCE):
        wakeups, still = _sweep_all(fleet, due[start : start + SHARDS_AT_ONCE], lost_until_ms)
        idle += still
        yield from wakeups
    _unwatch(fleet, idle)
    if overdue and probe_is_due(routes, now_ms):
        waiting = random.choice(overdue)  # one that cannot leave holds up no other
        yield Wakeup(waiting.queue, waiting.number, "")


def _sweep_all(
    fleet: Fleet, shards: list[Shard], lost_until_ms: int
) -> tuple[list[Wakeup], list[Shard]]:
    """Sweep many shards at once: wake-ups for their batches, and the shards that are idle."""
    wakeups: list[Wakeup] = []
    idle: list[Shard] = []
    calls = [
        shard.sweep_call(force=False, idle_ms=as_ms(IDLE_SECONDS), lost_until_ms=lost_until_ms)
        for shard in shards
    ]
    with unavailable("sweep"):
        answers = run_all(fleet.client, script("sweep"), [Call(*call) for _, call in calls])
        for shard, (token, _), answer in zip(shards, calls, answers, strict=True):
            if isinstance(answer, Exception):
                _miss(fleet, shard, answer)
                continue
            swept = Swept._make((*answer, token))
            wakeups += _wakeups(shard, swept)
            if swept.more:
                with skipping_refusals(shard.keys.name):
                    wakeups += sweep_shard(shard, lost_until_ms=lost_until_ms)
            if swept.idle:
                idle.append(shard)
    return wakeups, idle


def _wakeups(shard: Shard, swept: Swept) -> Iterator[Wakeup]:
    found = tokens(swept.token, swept.wakeups)
    return (Wakeup(shard.queue, shard.number, token) for token in found)


def _miss(fleet: Fleet, shard: Shard, exc: Exception) -> None:
    """Go on without a shard, and for a while without its part of a Cluster if that does not answer."""
    part = "" if is_error_reply(exc) else part_of(fleet.client, shard.keys.meta)
    if not part:
        _tell_of_refusal(shard.keys.name, exc)
        return
    fleet.hints.rest(part)
    fleet.hints.warn(part, f"what lies on {part}", exc)


def _unwatch(fleet: Fleet, shards: list[Shard]) -> None:
    forget = partial(fleet.unwatch, *shards)
    if fleet.in_cluster:
        fleet.hints.attempt(fleet.keys.watched, "the end of a watch", forget, None)
    else:
        forget()


def _audit(fleet: Fleet, watched: frozenset[str]) -> list[str]:
    look = partial(patrol, fleet, watched)
    if fleet.in_cluster:
        return fleet.hints.attempt(fleet.keys.queues, "the patrol", look, [])
    return look()


def _look_at_routes(fleet: Fleet, by: str) -> tuple[int, int, list[Route]]:
    """Note the sweep; Redis' time, the time up to which wake-ups are lost, and the routes."""
    now_ms, routes = fleet.note_sweep(by), []
    if now_ms:
        with skipping_refusals("the sign of life"):
            routes = fleet.routes()
            return now_ms, lost_until(routes), routes
    # How far the task messages have come is not known: then a wake-up counts as lost after a while.
    now_ms = fleet.reader.now_ms()
    return now_ms, now_ms - _LOST_AFTER_MS, routes


@contextmanager
def skipping_refusals(what: str) -> Iterator[None]:
    """Log an error reply and go on without *what*; a lost connection still raises.

    Raises:
        QueueUnavailable: Redis did not answer at all.
    """
    try:
        yield
    except QueueUnavailable as exc:
        if not isinstance(exc.__cause__, ResponseError):
            raise
        _tell_of_refusal(what, exc.__cause__)


def _tell_of_refusal(what: str, exc: Exception) -> None:
    """Log what is missed, once a minute: of each shard, or once for what all of Redis refuses."""
    topic = f"sweep {trouble_of(exc).word if is_trouble_of_redis(exc) else what}"
    seldom.warn(topic, "going on without %s: %s", what, advise(exc))


def sweep_shard(shard: Shard, *, force: bool = False, lost_until_ms: int = 0) -> list[Wakeup]:
    """Sweep one shard: wake-ups for its ready batches.

    Args:
        shard: The shard.
        force: Seal the open list, whatever its age.
        lost_until_ms: See `routes.lost_until`; 0 where that is not known.
    """
    wakeups: list[Wakeup] = []
    while True:
        swept = shard.sweep(force=force, idle_ms=as_ms(IDLE_SECONDS), lost_until_ms=lost_until_ms)
        wakeups += _wakeups(shard, swept)
        if not swept.more:
            return wakeups


def patrol(fleet: Fleet, watched: Container[str] = ()) -> list[str]:
    """Watch shards that hold something although nobody announced it, some queues at a time.

    This notices events of programs that only LPUSH, and makes up for a lost watch. Stranded batches
    are made ready again, the sets by which a look is cheap are put right, and what a move left that was
    interrupted is settled.

    Args:
        fleet: The queues.
        watched: Short names of the shards that are watched already.

    Returns:
        Short names of the shards that are watched from now on.
    """
    fleet.announce()
    registered = fleet.some_registrations(AUDITED_QUEUES)
    shards = [
        fleet.shard(queue, number)
        for queue, registration in registered.items()
        for number in range(registration.shards)
    ]
    for shard in stranded.suspicious(fleet, shards):
        with skipping_refusals(f"stranded batches of {shard.keys.name}"):
            stranded.restore(shard)
    for shard in departures.departed_from(fleet, shards):
        with skipping_refusals(f"an interrupted move of {shard.keys.name}"):
            departures.settle_abandoned(fleet, shard)
    new = [s.keys.name for s in holding(fleet, shards) if s.keys.name not in watched]
    if new:
        with skipping_refusals("the watch of a shard"):  # all others are watched
            fleet.watch(*new)
    return new


def tell_workers(fleet: Fleet, shard: Shard, stem: str, pushed: Pushed) -> None:
    """Leave the wake-ups that the answer to a push asks for, and have the shard watched.

    If Redis does not take them, the next sweep finds the batch, and the patrol the shard.

    Args:
        fleet: The queues.
        shard: The shard that was pushed to.
        stem: Stem of the push's wake-up tokens.
        pushed: The answer.
    """
    if pushed.watch:
        fleet.try_watching(shard)
    if pushed.wakeups:
        fleet.try_leaving_wakeups(shard.queue, shard.number, tokens(stem, pushed.wakeups))
