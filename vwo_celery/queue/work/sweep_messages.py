"""Sweeps that beat sends: few messages while nobody runs them, and none run twice.

Stage 2 of an event's way. A broker in Redis keeps messages also when they have expired, so without
workers beat would fill it: it leaves a message out while an earlier one is unanswered. The note of
that is only a hint: if it is lost, one message more is sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records import histories
from vwo_celery.queue.signs import SWEEPERS
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import proving, sweeping
from vwo_celery.settings import Settings

#: Shortest time between two sweeps that beat sends, in seconds. It is a backstop: the listeners of
#: workers sweep by themselves.
SHORTEST_BEAT_SECONDS = 10
#: Share of the sweep's interval within which a sweep that was sent need not be run after another.
_RECENT_SHARE = 0.5
#: Fields of the pulse: Unix ms of the last message, and the time until it counts as lost, in ms.
_SENT, _WAIT = "sweep_sent", "sweep_wait"
#: Intervals of beat until the first unanswered message counts as lost. Each further one waits twice
#: as long, so that few are there when a worker starts.
_FIRST_WAIT_INTERVALS = 6
#: Longest such time, in seconds.
_LONGEST_WAIT_SECONDS = 600.0


def beat_seconds(settings: Settings) -> int:
    """Seconds between two sweeps that beat sends: whole ones, since some schedulers store no others."""
    return max(SHORTEST_BEAT_SECONDS, math.ceil(settings.sweep_interval_seconds))


def may_send(fleet: Fleet, *, interval_seconds: float) -> bool:
    """Note that a message is sent now; False if an earlier one is still to be answered.

    Args:
        fleet: The queues.
        interval_seconds: Time between two messages of beat.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    now_ms, pulse = fleet.now_ms(), fleet.keys.pulse
    with unavailable("look-up of the last sweep sent"):
        found = fleet.client.hmget(pulse, [_SENT, _WAIT, "beat"])
    sent_ms, wait_ms, swept_ms = (int(each) if each and each.isdigit() else 0 for each in found)
    unanswered = sent_ms > swept_ms  # workers before 0.2.0 only note the sweep
    if unanswered and 0 <= now_ms - sent_ms < wait_ms:  # below 0 where Redis' clock stepped back
        return False
    first_ms = as_ms(_FIRST_WAIT_INTERVALS * interval_seconds)
    longest_ms = max(first_ms, as_ms(_LONGEST_WAIT_SECONDS))
    wait_ms = min(2 * wait_ms, longest_ms) if unanswered and wait_ms else first_ms
    with unavailable("note of a sweep sent"):
        fleet.client.hset(pulse, mapping={_SENT: now_ms, _WAIT: wait_ms})
    return True


def answer(fleet: Fleet) -> None:
    """Note that the last message is answered, or was not sent after all; missed if that fails."""

    def forget() -> None:
        with unavailable("answer to a sweep"):
            fleet.brief.client.hdel(fleet.keys.pulse, _SENT, _WAIT)

    fleet.hints.attempt(fleet.keys.pulse, "the answer to a sweep", forget, None)


def sweep_if_due(fleet: Fleet, settings: Settings) -> Iterator[Wakeup]:
    """Sweep for beat, unless one has just run: messages may come late, and many at once.

    The next shards are swept when the wake-ups of those before them are taken.

    Raises:
        QueueUnavailable: Redis did not answer; the next sweep makes up for it.
    """
    signs = fleet.reader.signs_if_known() or {}
    last_ms = max((signs.get(by, 0) for by in SWEEPERS), default=0)
    passed_ms = fleet.reader.now_ms() - last_ms
    if 0 <= passed_ms < as_ms(_RECENT_SHARE * settings.sweep_interval_seconds):
        fleet.note_sweep("beat", at_ms=last_ms)
        return
    yield from sweeping.sweep_step_by_step(fleet, by="beat")
    histories.sample_if_due(fleet, settings.history)
    proving.prove_if_due(fleet)
