"""What only its own configuration decides, a worker decides for itself: it declines a queue.

Stage 3 of an event's way. Hosts and callbacks are looked at before the claim. That its own way to VWO
fails, such as its proxy, a worker finds out only by a POST: it then hands the batch back and declines
the queue for a while. Wake-ups of a declined queue go to other workers. Where every listening worker
declines it, it is held for seconds at a time, so that a worker which may send finds it by itself.

If the process dies in here, a wake-up's slot runs out, and the sweep finds the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from vwo_celery.clocks import monotonic
from vwo_celery.destinations import Destination
from vwo_celery.errors import CallbackRefused
from vwo_celery.logs import log_once
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.declines import note_decline, withdraw_decline
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Registration
from vwo_celery.queue.work import sweeping
from vwo_celery.sending.hosts import host_refusal
from vwo_celery.sending.outcomes import Outcome
from vwo_celery.settings import Settings
from vwo_celery.settings.callbacks import find_callback, module_refusal

#: Time for which the answer is kept whether another worker may send, and a callback can be imported.
_ASK_SECONDS = 2.0
_IMPORT_SECONDS = 10.0
#: Shortest time between two wake-ups of a shard that this process passes on. It doubles, up to the
#: longest, while the same batch waits all the time: then nobody takes them up. The longest is below
#: the silence that makes a stall, since declining tasks are signs of life.
_PASS_ON_SECONDS, _LONGEST_PASS_ON_SECONDS = 1.0, 8.0
#: Time for which a queue is held that every listening worker declines.
_HOLD_SECONDS = 5.0
#: Time after its own way failed in which a worker does not try it again, the first and the longest.
_REST_SECONDS, _LONGEST_REST_SECONDS = 30.0, 300.0
#: Wait of a batch after which a worker that cannot call its callback sends it nevertheless.
_PATIENCE_SECONDS = 30.0


class Hindrance(NamedTuple):
    """What keeps this worker from a queue.

    Attributes:
        why: What it is, and what to do about it.
        may_send: Whether the worker sends nevertheless if nobody else does.
        patience_seconds: Wait of a batch after which nobody else does.
    """

    why: str
    may_send: bool
    patience_seconds: float = math.inf


class _Rest(NamedTuple):
    """The time in which a worker does not try its own way to a queue's host again."""

    why: str
    until: float
    seconds: float


class _Passed(NamedTuple):
    """The last wake-up of a shard that was passed on: the batch that waited, and when the next is."""

    batch: str
    until: float
    seconds: float


class Declining:
    """Decide which queues this process leaves to other workers.

    Args:
        fleet: The queues.
        settings: The worker's.
        name: The name under which the worker listens.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        fleet: Fleet,
        settings: Settings,
        name: str,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._fleet = fleet
        self._settings = settings
        self._name = name
        self._clock = clock
        self._once = log_once()
        self._hosts: dict[Destination, str] = {}
        self._rests: dict[str, _Rest] = {}
        self._others: dict[str, tuple[float, bool]] = {}
        self._callbacks: dict[str, tuple[float, str]] = {}
        self._passed_on: dict[str, _Passed] = {}

    def leaves(self, registration: Registration, shard: Shard, token: str) -> bool:
        """Leave a shard to other workers if its queue is not for this one, and pass the wake-up on.

        Args:
            registration: The queue's registration.
            shard: The shard.
            token: The wake-up's token, "" once its slot is given back.

        Returns:
            Whether nothing may be claimed from the shard now.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        hindrance = self._hindrance(registration)
        if hindrance is None:
            return False
        if self._others_may(shard.queue, hindrance):
            if self._waits_in_vain(shard, hindrance):
                return False
            self._log_left(shard.queue, hindrance.why)
            self._pass_on(shard, token)
            return True
        if hindrance.may_send:
            return False
        self._hold(shard, token, hindrance.why)
        return True

    def hinders(self, registration: Registration) -> bool:
        """Whether anything keeps this worker from a queue; asks nobody else."""
        return self._hindrance(registration) is not None

    def hands_back(self, registration: Registration, outcome: Outcome) -> bool:
        """Whether a batch goes back without an attempt: our own way failed, and another worker may send.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        queue = registration.destination.queue
        if not outcome.own_way:
            if self._rests.pop(queue, None) is not None:
                self._others.pop(queue, None)
                with sweeping.skipping_refusals("the end of a note that a queue is declined"):
                    withdraw_decline(self._fleet, queue, self._name)
            return False
        why, last = outcome.error or "", self._rests.get(queue)
        seconds = _REST_SECONDS if last is None else min(2 * last.seconds, _LONGEST_REST_SECONDS)
        self._rests[queue] = _Rest(why, self._clock() + seconds, seconds)
        if not self._others_may(queue, Hindrance(why, may_send=True)):
            return False
        self._log_left(queue, why)
        return True

    def look(self, registration: Registration) -> bool:
        """Note it if this worker declines a queue, so that the others know; imports nothing.

        Returns:
            Whether it does, as far as can be told without an import.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        hindrance = self._at_first_sight(registration) or self._at_rest(registration)
        if hindrance is None:
            return False
        self._others_may(registration.destination.queue, hindrance)
        return True

    def _hindrance(self, registration: Registration) -> Hindrance | None:
        """What keeps this worker from a queue; None for nothing."""
        seen = self._at_first_sight(registration) or self._at_rest(registration)
        if seen is not None:
            return seen
        path = registration.flush_callback
        refusal = self._import_refusal(path) if path else ""
        return Hindrance(refusal, True, _PATIENCE_SECONDS) if refusal else None

    def _at_first_sight(self, registration: Registration) -> Hindrance | None:
        """What its settings keep this worker from."""
        destination = registration.destination
        refusal = self._hosts.get(destination)
        if refusal is None:
            refusal = host_refusal(destination, self._settings.allowed_hosts)
            self._hosts[destination] = refusal
        if refusal:
            return Hindrance(refusal, may_send=False)
        path = registration.flush_callback
        refusal = module_refusal(path, self._settings.callback_modules) if path else ""
        return Hindrance(refusal, True, _PATIENCE_SECONDS) if refusal else None

    def _at_rest(self, registration: Registration) -> Hindrance | None:
        """The failure of its own way that it rests after."""
        rest = self._rests.get(registration.destination.queue)
        if rest is None or self._clock() >= rest.until:
            return None
        return Hindrance(rest.why, may_send=True)

    def _import_refusal(self, path: str) -> str:
        """Why a callback cannot be imported here, "" if it can; tried again after a while."""
        tried_at, refusal = self._callbacks.get(path, (-math.inf, ""))
        if self._clock() - tried_at >= _IMPORT_SECONDS:
            try:
                find_callback(path, self._settings.callback_modules)
                refusal = ""
            except CallbackRefused as exc:
                refusal = str(exc)
            self._callbacks[path] = (self._clock(), refusal)
        return refusal

    def _others_may(self, queue: str, hindrance: Hindrance) -> bool:
        """Note that we decline a queue; whether another listening worker does not."""
        asked_at, answer = self._others.get(queue, (-math.inf, not hindrance.may_send))
        if self._clock() - asked_at >= _ASK_SECONDS:
            with sweeping.skipping_refusals("the note that a queue is declined"):
                declining = note_decline(self._fleet, queue, self._name, hindrance.why)
                answer = bool({*self._fleet.listeners()} - {*declining, self._name})
            self._others[queue] = (self._clock(), answer)
        return answer

    def _waits_in_vain(self, shard: Shard, hindrance: Hindrance) -> bool:
        """Whether the shard's oldest due batch waits for so long that nobody else seems to send it."""
        if hindrance.patience_seconds == math.inf:
            return False
        batch, due_ms = shard.first_due()
        waited_ms = self._fleet.now_ms() - due_ms if batch else 0
        return waited_ms > 1000 * hindrance.patience_seconds

    def _pass_on(self, shard: Shard, token: str) -> None:
        """Leave the wake-up for a listener; give its slot back if we passed one on just before."""
        now, name = self._clock(), shard.keys.name
        last = self._passed_on.get(name, _Passed("", -math.inf, _PASS_ON_SECONDS))
        if now < last.until:
            self._give_back(shard, token, last)
            return
        batch, _ = shard.first_due()
        seconds = _PASS_ON_SECONDS
        if batch and batch == last.batch:
            seconds = min(2 * last.seconds, _LONGEST_PASS_ON_SECONDS)
        self._passed_on[name] = _Passed(batch, now + seconds, seconds)
        self._fleet.leave_wakeups(shard.queue, shard.number, [token])

    def _give_back(self, shard: Shard, token: str, last: _Passed) -> None:
        """Free a slot; while nobody takes our wake-ups up, keep it until we pass on the next."""
        if last.seconds <= _PASS_ON_SECONDS:
            shard.free_slots([token])
            return
        left_ms = int(1000 * (last.until - self._clock()))
        with sweeping.skipping_refusals("the rest of a wake-up"):
            shard.rest_slot(token, self._fleet.now_ms() + left_ms)

    def _hold(self, shard: Shard, token: str, why: str) -> None:
        shard.hold(self._fleet.now_ms() + int(1000 * _HOLD_SECONDS), by="workers", why=why)
        shard.free_slots([token])
        self._once.error(
            f"held {shard.queue} {why}",
            "no worker that listens sends queue %s, its events are kept: %s; it goes on by itself as "
            "soon as a worker may",
            shard.queue, why,
        )  # fmt: skip

    def _log_left(self, queue: str, why: str) -> None:
        self._once.error(
            f"left {queue} {why}",
            "worker %s leaves queue %s to other workers: %s",
            self._name, queue, why,
        )  # fmt: skip
