"""Checks that end in time: one that hangs is told as a finding, and the others go on.

A check runs in a thread of its own, which is left behind if it does not end: what it waits for (a
disk, a broker, a server that stands still) may never answer. It changes nothing: nothing to lose.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Final

from vwo_celery.clocks import monotonic
from vwo_celery.operating.doctor.finding import Finding, problem
from vwo_celery.text.amounts import span

#: Longest time from one finding of a check to the next, in seconds.
LONGEST_STEP_SECONDS: Final = 20.0
#: Time without a finding after which the caller is told what is waited for, and again and again.
_SLOW_SECONDS: Final = 2.0

#: Called with the check that is waited for, and for how many seconds it has been.
Watch = Callable[[str, float], None]


def unwatched(what: str, seconds: float) -> None:
    """Tell nobody what is waited for."""


def in_time(
    what: str,
    check: Callable[[], Iterable[Finding]],
    watch: Watch,
    longest_step_seconds: float = LONGEST_STEP_SECONDS,
) -> Iterator[Finding]:
    """Yield the findings of *check* as they come; if none comes for too long, one that says so.

    Args:
        what: The thing that is looked at, for messages.
        check: The check; its exceptions are raised here.
        watch: Called while no finding comes.
        longest_step_seconds: Longest wait for the next finding, or the end.
    """
    found: SimpleQueue[Finding | BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            for finding in check():
                found.put(finding)
            found.put(None)
        except BaseException as exc:
            found.put(exc)

    threading.Thread(target=run, name=f"doctor: {what}", daemon=True).start()
    while True:
        each = _next(found, what, watch, longest_step_seconds)
        if each is None:
            return
        if isinstance(each, BaseException):
            raise each
        yield each
        if each.id == "VC191":
            return


def _next(
    found: SimpleQueue[Finding | BaseException | None], what: str, watch: Watch, longest: float
) -> Finding | BaseException | None:
    started = monotonic()
    while (waited := monotonic() - started) < longest:
        try:
            return found.get(timeout=min(_SLOW_SECONDS, longest - waited))
        except Empty:
            watch(what, monotonic() - started)
    return problem(
        "VC191",
        f"the look at {what} did not go on for {span(longest)}: something that it asks hangs",
        "see whether that machine or disk stands still; the findings of this check that are missing "
        "are not known to be well",
    )
