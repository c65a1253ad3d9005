"""The command line of `vwo-celery demo`. Exit codes: 0 all promises kept, 1 not, 130 interrupted."""

from __future__ import annotations

import importlib.metadata
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console

from vwo_celery.demo.play import Interrupted, Play
from vwo_celery.demo.stage import Plan, Stage
from vwo_celery.demo.view import View
from vwo_celery.errors import VwoCeleryError
from vwo_celery.text.wording import install_extra

_SDK = "vwo-fme-python-sdk"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED = 130


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(5, 600), default=15.0, show_default=True,
    help="How long visitors come; starting and draining take some seconds more.",
)  # fmt: skip
@click.option(
    "--replicas", type=click.IntRange(1, 16), default=4, show_default=True,
    help="Processes that use VWO's SDK.",
)  # fmt: skip
@click.option(
    "--events-per-second", type=click.IntRange(20, 5000), default=400, show_default=True,
    help="All replicas together; fewer if this machine is too slow.",
)  # fmt: skip
def demo(seconds: float, replicas: int, events_per_second: int) -> None:
    """See it work, in under a minute: replicas, Redis, workers, and a worker that is killed.

    Starts a Redis of its own, a stand-in for VWO, Celery workers and beat, and replicas that use
    VWO's own SDK; kills a worker in the middle; and counts what became of every event. Nothing
    leaves this machine, and nothing is left on it.
    """
    _require_sdk()
    plan = Plan(seconds=seconds, replicas=replicas, events_per_second=events_per_second)
    with signals_counted() as signals:
        code = _play(plan, signals)
    sys.exit(code)


def _play(plan: Plan, signals: Callable[[], int]) -> int:
    console = Console(highlight=False)
    stage = Stage(plan)
    try:
        with View(console) as view:
            total = Play(stage, view, lambda: signals() > 0).run()
            stage.close(hurry=lambda: signals() > 0)
            view.conclude(total)
        return 1 if total.problems() else 0
    except Interrupted:
        console.print("Interrupted: ending everything that was started.")
        return _INTERRUPTED
    except VwoCeleryError as exc:
        console.print(f"The demo failed: {exc}", style="red", markup=False)
        return 1
    finally:
        stage.close(hurry=lambda: signals() > 1)


@contextmanager
def signals_counted() -> Iterator[Callable[[], int]]:
    """Only count the signals that ask the demo to end, so that none interrupts a step half-way."""
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        signal.signal(number, lambda got, _frame: received.append(got))
    try:
        yield lambda: len(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _require_sdk() -> None:
    try:
        importlib.metadata.version(_SDK)
    except importlib.metadata.PackageNotFoundError:
        raise click.ClickException(
            f"the demo's replicas use VWO's own SDK, and {_SDK} is not installed here; "
            f"{install_extra('demo')}"
        ) from None
