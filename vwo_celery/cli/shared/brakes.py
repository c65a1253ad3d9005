"""Ctrl-C as a brake: the first one ends a command's work after the step that it is at.

A second one ends it at once. SIGTERM, as of a service manager, is taken for the first Ctrl-C.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from vwo_celery.cli.shared.lines import print_line
from vwo_celery.clocks import monotonic

#: Time between two looks at the flag that a signal sets; a sleep goes on after a signal.
_LOOK_SECONDS = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalBrake:
    """A brake that a signal pulls; without a lock, which the signal may find taken."""

    def __init__(self) -> None:
        self._pulled = False

    def wait(self, timeout: float) -> bool:
        """Wait so long, 0 for not at all; True, almost at once, if the work shall stop."""
        deadline = monotonic() + timeout
        while not self._pulled and (left := deadline - monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
        return self._pulled

    def pull(self, number: int, frame: FrameType | None) -> None:
        """Stop the work; the second time, raise."""
        if self._pulled:
            raise KeyboardInterrupt
        self._pulled = True
        print_line("stopping after this step; Ctrl-C again stops at once", err=True)


@contextmanager
def brake_by_signal() -> Iterator[SignalBrake]:
    """A brake, which Ctrl-C pulls until the end of the block; beside a main thread, nothing does."""
    brake = SignalBrake()
    if current_thread() is not main_thread():
        yield brake
        return
    before = {number: signal.signal(number, brake.pull) for number in _SIGNALS}
    try:
        yield brake
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
