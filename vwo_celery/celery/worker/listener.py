"""The listener: a thread of every worker's main process that turns wake-ups into `deliver` tasks.

It needs no broker. In each turn, of which the first thing is its sign of life, it

1. looks for events that an application of this host has left on the disk;
2. notes in Redis that it is alive, with a card that says what this worker is and does;
3. runs the sweep, if nobody has for a sweep's interval;
4. looks for a stall, and delivers what is due while no worker runs tasks, or those that do decline it;
5. waits in one blocking pop for a wake-up, and publishes a `deliver` task for it.

What the broker does not take it delivers itself, one batch at a time. If it dies, the listeners of
other workers go on; without any, beat's sweep finds what is ready.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from celery import bootsteps
from kombu.utils import functional

from vwo_celery.celery.broker.tls import warn_of_gap
from vwo_celery.celery.setup import is_set_up, settings_of
from vwo_celery.celery.worker.absence import Absence
from vwo_celery.celery.worker.describing import Describing
from vwo_celery.celery.worker.names import worker_name
from vwo_celery.celery.worker.stopping import stopping
from vwo_celery.celery.worker.tasks import hand_back_at_end, new_worker, open_fleet, publisher_of
from vwo_celery.clocks import monotonic
from vwo_celery.delivering.lane import Lane
from vwo_celery.errors import QueueUnavailable, VwoCeleryError
from vwo_celery.logs import SeldomLog, log
from vwo_celery.operating.looks import alive, stalls
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records import histories
from vwo_celery.queue.records.cards import forget_cards, write_card
from vwo_celery.queue.routes import probe_is_due
from vwo_celery.queue.servers import permissions
from vwo_celery.queue.signs import SWEEPERS
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import proving, sweeping
from vwo_celery.spool.fallback import fallback_of

#: Longest wait for a wake-up, and so the longest delay until a shutdown is noticed.
_WAIT_SECONDS = 1.0
#: Shortest wait for a wake-up: Redis takes 0 for a wait without end.
_SHORTEST_WAIT_SECONDS = 0.01
_NOTE_SECONDS = 5.0
#: Shares of the sweep's interval after which a listener sweeps: at most one, since an event may be
#: that late; random, so that one listener sweeps and the others notice.
_SWEEP_SHARES = (0.7, 1.0)
_PAUSE_AFTER_ERROR_SECONDS = 1.0
#: Looks for a stall in each period of silence that makes one.
_LOOKS_A_SILENCE = 4
#: Time for which this listener sends a queue itself after it was found neglected.
_SENDS_ITSELF_SECONDS = 60.0


class Listener(bootsteps.StartStopStep):
    """The bootstep by which a worker starts and ends its listener."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._loop: _Loop | None = None
        stopping.prepare()
        hand_back_at_end()  # before the pool forks: its children do it, too
        worker_name.prepare()

    def include_if(self, parent: Any) -> bool:
        """Whether the app of this worker is set up; another one may be meant."""
        return bool(super().include_if(parent)) and is_set_up(parent.app)

    def start(self, parent: Any) -> None:
        """Start the listener; called once, after the pool has forked and before the broker connects."""
        _let_greenlets_run()
        warn_of_gap(parent.app)
        stopping.watch_signals()
        self._loop = _Loop(parent)
        _end_without_permissions(self._loop.fleet)
        self._loop.start()

    def close(self, parent: Any) -> None:
        """Set the shutdown flag; called before the worker waits for its tasks."""
        stopping.begin()

    def stop(self, parent: Any) -> None:
        """End the listener; called after the consumer has ended and before the pool does."""
        stopping.begin()
        if self._loop is not None:
            self._loop.finish()

    def terminate(self, parent: Any) -> None:
        """Do nothing: what this process holds is handed back when it ends."""


def _let_greenlets_run() -> None:
    """Under gevent, let other greenlets run while Celery waits to reconnect to its broker.

    gevent looks at every object when it patches, which makes Celery's lazy module import kombu
    before `time.sleep` is replaced (gevent 26.9, Celery 5.7); kombu then keeps the blocking one.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_object_patched("time", "sleep"):
        vars(functional)["sleep"] = time.sleep


def _end_without_permissions(fleet: Fleet) -> None:
    """End the worker if its Redis user lacks a right; without Redis, it is not known, and goes on.

    Raises:
        SystemExit: A right is missing.
    """
    try:
        missing = permissions.worker_lacks(fleet)
    except QueueUnavailable as exc:
        log.warning("the worker starts without knowing whether its Redis user may do all: %s", exc)
        return
    if missing:
        log.critical("%s, which a worker needs; it ends. Run: %s", missing, missing.remedy)
        raise SystemExit(1)


class _Loop(threading.Thread):
    """The listener's thread; it serves until the worker stops."""

    def __init__(self, parent: Any) -> None:
        super().__init__(name="vwo-celery-listener", daemon=True)
        app = parent.app
        self.settings = settings_of(app)
        self.fleet = open_fleet(app)
        self.listener = worker_name()
        self._describing = Describing(parent, self.settings)
        self._fallback = fallback_of(self.settings)
        self._publisher = publisher_of(app, self.fleet)
        self._worker = new_worker(app, self.fleet, self._start)
        self._lane = Lane(self._worker)
        self._seldom = SeldomLog()
        self._absence = Absence()
        self._stalled = False
        self._sends_itself: dict[str, float] = {}  # queue -> time until which it does
        self._note_due = self._sweep_due = 0.0
        # Batches may be old when a worker starts; its tasks, which start after this thread, come first.
        self._stall_due = monotonic() + stalls.silence_seconds(self.settings)

    def finish(self) -> None:
        """Wait for the POST that is under way in this process, if there is one."""
        self._lane.finish(self.settings.request_timeout_seconds)

    def run(self) -> None:
        """Serve until the worker stops, whatever goes wrong."""
        while not stopping():
            try:
                self._give_sign()
                self._serve_once()
                self._absence.end()
            except QueueUnavailable as exc:
                self._absence.note(exc)
                time.sleep(_PAUSE_AFTER_ERROR_SECONDS)
            except VwoCeleryError as exc:
                log.warning("the listener goes on: %s", exc)
                time.sleep(_PAUSE_AFTER_ERROR_SECONDS)
            except Exception:
                log.exception("the listener goes on")
                time.sleep(_PAUSE_AFTER_ERROR_SECONDS)
        self._say_goodbye()

    def _serve_once(self) -> None:
        self._fallback.look()  # an application of this host may have ended with events on its disk
        now = monotonic()
        self._note_that_it_listens()
        if now >= self._sweep_due:
            self._sweep_due = now + self._sweep_if_overdue()
        if now >= self._stall_due:
            self._stall_due = now + stalls.silence_seconds(self.settings) / _LOOKS_A_SILENCE
            self._look_for_stall()
        due = min(self._note_due, self._sweep_due, self._stall_due) - monotonic()
        wakeup = self._next_wakeup(max(_SHORTEST_WAIT_SECONDS, min(_WAIT_SECONDS, due)))
        if wakeup is not None:
            self._start(wakeup)

    def _give_sign(self) -> None:
        """Say in this worker's file that its listener turns, if it has one."""
        path = self.settings.alive_file
        if not path:
            return
        try:
            alive.give_sign(Path(path), self.listener)
        except OSError as exc:
            self._seldom.warn(
                "alive_file",
                "the sign of life cannot be written, and probes that read it fail: %s",
                exc,
            )

    def _note_that_it_listens(self) -> None:
        now = monotonic()
        if now < self._note_due:
            return
        describing, begins = self._describing, not self._describing.started_ms
        if begins:
            describing.started_ms = self.fleet.reader.now_ms()
        # Whoever listens has a card: it is written before the note, and taken away after it.
        write_card(self.fleet, self.listener, describing.card())
        gone = self.fleet.note_listener(self.listener)
        if begins or gone:
            forget_cards(self.fleet)
        self._note_due = now + _NOTE_SECONDS

    def _next_wakeup(self, wait_seconds: float) -> Wakeup | None:
        """Wait for a wake-up; while the part of a Cluster with them is away, wait for the next sweep."""
        fleet = self.fleet
        if not fleet.in_cluster:
            return fleet.next_wakeup(wait_seconds)
        place, pop = fleet.keys.wakeups, partial(fleet.brief.next_wakeup, wait_seconds)
        wakeup: Wakeup | None = fleet.hints.attempt(place, "wake-ups", pop, None)
        if fleet.hints.is_resting(place):
            time.sleep(wait_seconds)
        return wakeup

    def _start(self, wakeup: Wakeup) -> None:
        """Publish a task that delivers; where none would be run, deliver here."""
        if stopping():
            # Where it is not left, its slot runs out, and the sweep finds the batch.
            self.fleet.try_leaving_wakeups(wakeup.queue, wakeup.shard, [wakeup.token])
            return
        declines = self._look_at_queue(wakeup)
        if not declines and monotonic() < self._sends_itself.get(wakeup.queue, 0.0):
            self._lane.add(wakeup, for_lack_of_tasks=False)
            return
        # In a stall its messages would only pile up behind those that no task takes.
        if self._stalled or not self._publisher.publish(wakeup):
            self._lane.add(wakeup)

    def _look_at_queue(self, wakeup: Wakeup) -> bool:
        """Whether this worker declines a queue; notes it, since its pool may never get a task of it."""
        with suppress(VwoCeleryError):  # the task says what is wrong
            registration = self._worker.registration(wakeup.queue, wakeup.shard)
            return self._worker.declining.look(registration)
        return True  # not known

    def _sweep_if_overdue(self) -> float:
        """Run the sweep if the last one is too long ago; return the seconds until the next look."""
        silence = self.settings.sweep_interval_seconds * random.uniform(*_SWEEP_SHARES)
        fleet: Fleet = self.fleet.reader
        signs = fleet.signs_if_known() or {}
        last = max((signs.get(by, 0) for by in SWEEPERS), default=0)
        passed = (fleet.now_ms() - last) / 1000
        if 0 <= passed < silence:  # below 0 where Redis' clock stepped back
            return silence - passed
        for found in sweeping.sweep_step_by_step(self.fleet, by="listener"):
            self._start(found)
            self._give_sign()
            self._note_that_it_listens()  # a thousand messages may take a while
        histories.sample_if_due(self.fleet, self.settings.history)
        proving.prove_if_due(self.fleet)
        return silence

    def _look_for_stall(self) -> None:
        fleet: Fleet = self.fleet.reader
        signs = fleet.signs_if_known()
        stall, now = None, fleet.now_ms()
        if signs is not None:
            stall = stalls.find_stall(fleet, self.settings, signs, now)
        self._stalled = stall is not None
        if stall is None:
            self._look_for_neglect(fleet, now)
            return
        self._seldom.warn("stall", "%s", stall)
        due = [Wakeup(shard.queue, shard.number, "") for shard in stall.shards]
        for wakeup in due:
            self._lane.add(wakeup)
        if due and probe_is_due(fleet.routes(), now):
            self._publisher.publish(due[0])  # a task that starts with it ends the stall

    def _look_for_neglect(self, fleet: Fleet, now_ms: int) -> None:
        """Send what the workers that run our tasks decline, unless this worker declines it, too."""
        now = monotonic()
        self._sends_itself = {q: until for q, until in self._sends_itself.items() if now < until}
        for shard in stalls.find_neglected(fleet, self.settings, now_ms):
            wakeup = Wakeup(shard.queue, shard.number, "")
            if self._look_at_queue(wakeup):
                continue
            self._sends_itself[shard.queue] = now + _SENDS_ITSELF_SECONDS
            self._seldom.warn(
                f"neglected {shard.queue}",
                "queue %s is sent by this worker's listener, one batch at a time: workers that run its "
                "tasks leave it to others; let a worker that may send it consume the Celery queue of "
                "its tasks",
                shard.queue,
            )
            self._lane.add(wakeup, for_lack_of_tasks=False)

    def _say_goodbye(self) -> None:
        try:
            self.fleet.forget_listener(self.listener)
            forget_cards(self.fleet, self.listener)
        except VwoCeleryError as exc:
            log.debug("the listener's note expires by itself: %s", exc)
