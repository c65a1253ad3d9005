"""The threads in which the SDKs' timers run: one for each queue, and FME's, which polls for settings.

Beside an event's way. They are no daemons, so each keeps a finished program from ending: a queue's
for its interval, the polling one forever. An attached client needs no queue timer, and polls as
well from a daemon. Nothing to lose: FME's queue timer that fires in a process that ends loses its
events as well, since the SDK's sender has ended before.
"""

from __future__ import annotations

import threading
from typing import Any

#: Longest wait for a firing timer of the SDK's to hand its batch to its sender.
TIMER_JOIN_SECONDS = 1.0


def stop_timer(timer: Any) -> None:
    """Cancel a timer of the SDK's; wait for one that is firing."""
    if timer is None:
        return
    timer.cancel()
    if timer.is_alive():
        timer.join(TIMER_JOIN_SECONDS)


def let_process_end() -> None:
    """Make the FME SDK's timers daemons, so that they do not keep the process from ending.

    A timer that one of them starts is a daemon too, since threads inherit it. Each one's interval
    begins again.
    """
    for timer in threading.enumerate():
        if isinstance(timer, threading.Timer) and not timer.daemon and _is_of_fme(timer):
            _make_daemon(timer)


def _is_of_fme(timer: threading.Timer) -> bool:
    qualname: str = getattr(timer.function, "__qualname__", "")
    polls = qualname.endswith("Builder.check_and_poll.<locals>.poll")
    return polls or qualname == "BatchEventQueue.flush"


def _make_daemon(timer: threading.Timer) -> None:
    timer.cancel()
    again = threading.Timer(timer.interval, timer.function, timer.args, timer.kwargs)
    again.daemon = True
    queue = getattr(timer.function, "__self__", None)
    if getattr(queue, "timer", None) is timer:
        queue.timer = again  # type: ignore[union-attr]
    again.start()
