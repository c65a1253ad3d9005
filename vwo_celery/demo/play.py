"""The steps of the demo, in order. Read this file to see what it shows.

Ctrl-C only sets a flag; `_until`, which does all the waiting, then raises
`Interrupted`. So no step is cut in two, and it is known which programs were started.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from vwo_celery.demo.children import Child
from vwo_celery.demo.deliveries import Delivery
from vwo_celery.demo.freeze import freeze_with_batch
from vwo_celery.demo.progress import batches_in_flight, take_ledger, take_moment, undelivered
from vwo_celery.demo.report import Sum, add_up
from vwo_celery.demo.stage import (
    EVENTS_PER_REQUEST,
    LATENCY_MS,
    LEASE_SECONDS,
    REQUEST_TIME_INTERVAL,
    WORKERS,
    Stage,
)
from vwo_celery.demo.view import View
from vwo_celery.errors import VwoCeleryError
from vwo_celery.operating.looks.inspector import Ledger
from vwo_celery.queue.servers.facts import read_servers
from vwo_celery.text.amounts import count

_TICK_SECONDS = 0.1
_START_TIMEOUT_SECONDS = 30.0
_DRAIN_TIMEOUT_SECONDS = 20.0
_LAST_LINES_SECONDS = 2.0
#: Share of the visitors' time after which the worker is killed.
_KILL_AFTER = 0.2
_DOWN_SECONDS = 2.0
_TAKE_OVER_TIMEOUT_SECONDS = LEASE_SECONDS + 10


class Interrupted(Exception):
    """Somebody asked the demo to end."""


class DemoFailed(VwoCeleryError):
    """A program of the demo ended or did not start; holds the end of its log."""


class Play:
    """One run of the demo.

    Args:
        stage: The programs; whoever made it closes it.
        view: The screen.
        stopping: Whether somebody asked the demo to end.
    """

    def __init__(self, stage: Stage, view: View, stopping: Callable[[], bool]) -> None:
        self._stage = stage
        self._view = view
        self._stopping = stopping
        self._killed: Child | None = None

    def run(self) -> Sum:
        """Run all steps.

        Raises:
            Interrupted: `stopping` said so.
            DemoFailed: A program of the demo failed.
            VwoCeleryError: Redis is missing, or failed.
        """
        self._fleet = self._stage.open_redis()
        self._start_programs()
        self._start_visitors()
        held = self._kill_worker()
        self._restart_worker()
        self._watch_take_over(held)
        self._await_replicas()
        self._drain()
        return self._sum()

    # -- in order

    def _start_programs(self) -> None:
        server = read_servers(self._fleet.client)[0].label
        self._stage.start_standin()
        self._stage.start_workers()
        self._must(lambda: self._stage.stats() is not None, "the stand-in for VWO")
        self._view.say(f"{server} and a stand-in for VWO (answers after {LATENCY_MS} ms) run")
        self._must(lambda: len(self._fleet.listeners()) >= WORKERS, "the workers")
        self._must(lambda: "beat" in self._fleet.last_sweeps_ms(), "beat")
        self._view.say(
            f"{WORKERS} Celery workers and beat are ready; batches of {EVENTS_PER_REQUEST}, "
            f"or after {REQUEST_TIME_INTERVAL} s"
        )

    def _start_visitors(self) -> None:
        plan = self._stage.plan
        self._stage.start_replicas()
        self._must(lambda: self._ledger().accepted > 0, "the replicas")
        self._view.say(
            f"{count(plan.replicas, 'replica')} with VWO's own SDK: about "
            f"{plan.events_per_second:,} events a second for {plan.seconds:g} s"
        )
        self._pause(_KILL_AFTER * plan.seconds)

    def _kill_worker(self) -> dict[str, int]:
        self._killed = worker = self._stage.workers[0]
        held = freeze_with_batch(worker, lambda: batches_in_flight(self._fleet), self._tick)
        worker.kill()
        what = f"it held {count(sum(held.values()), 'event')}" if held else "it held nothing"
        self._view.say(f"{worker.name} killed (SIGKILL): {what}", style="bold red")
        return held

    def _restart_worker(self) -> None:
        worker = self._killed
        self._pause(_DOWN_SECONDS)
        if worker is not None:
            self._killed = None
            worker.start()
            self._view.say(f"{worker.name} started again", style="green")

    def _watch_take_over(self, held: dict[str, int]) -> None:
        def again() -> list[Delivery]:
            deliveries = self._stage.deliveries()
            return [each for each in deliveries if each.batch in held and each.attempt > 1]

        self._until(lambda: len(again()) >= len(held), _TAKE_OVER_TIMEOUT_SECONDS)
        for each in again():
            self._view.say(
                f"its lease of {LEASE_SECONDS:g} s ran out: {each.worker} sent the same "
                f"{count(each.events, 'event')}, attempt {each.attempt}",
                style="green",
            )

    def _await_replicas(self) -> None:
        def ended() -> bool:
            return not any(child.running for child in self._stage.replicas)

        self._until(ended, self._stage.plan.seconds + _START_TIMEOUT_SECONDS)
        self._view.say("no more visitors; what is left leaves by its age")

    def _drain(self) -> None:
        self._until(lambda: not undelivered(self._ledger()), _DRAIN_TIMEOUT_SECONDS)

        def all_written() -> bool:
            written = sum(each.events for each in self._stage.deliveries())
            return written >= self._ledger().delivered

        # A worker writes its line after it has settled the batch.
        self._until(all_written, _LAST_LINES_SECONDS)

    def _sum(self) -> Sum:
        stats = self._stage.stats()
        if stats is None:
            raise DemoFailed("the stand-in for VWO does not answer any more")
        return add_up(
            self._stage.reports(), self._stage.journal(), stats, self._ledger(),
            self._stage.deliveries(),
        )  # fmt: skip

    # -- waiting

    def _until(self, predicate: Callable[[], bool], timeout_seconds: float) -> bool:
        """Whether *predicate* came true in time; the view goes on meanwhile."""
        deadline = time.monotonic() + timeout_seconds
        while not predicate():
            if time.monotonic() >= deadline:
                return False
            self._tick()
            time.sleep(_TICK_SECONDS)
        return True

    def _must(self, predicate: Callable[[], bool], what: str) -> None:
        if not self._until(predicate, _START_TIMEOUT_SECONDS):
            raise DemoFailed(f"{what} did not come up in {_START_TIMEOUT_SECONDS:g} s")

    def _pause(self, seconds: float) -> None:
        self._until(lambda: False, seconds)

    def _tick(self) -> None:
        if self._stopping():
            raise Interrupted
        for child in self._stage.children():
            self._check(child)
        if self._view.due:
            self._view.show(take_moment(self._fleet, self._stage))

    def _check(self, child: Child) -> None:
        is_over = child in self._stage.replicas and child.exit_code == 0
        if not child.running and not is_over and child is not self._killed:
            raise DemoFailed(
                f"{child.name} ended with {child.exit_code}; its log ends:\n{child.log_tail()}"
            )

    def _ledger(self) -> Ledger:
        return take_ledger(self._fleet)
