"""The time of one task: how long it goes on claiming, and when it gives way to others that wait.

Stage 3 of an event's way. Decides on clocks alone; nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable

#: Longest run of one task, in seconds. It then asks for another, so that a shutdown and other tasks
#: get their turn.
BUDGET_SECONDS = 5.0
#: Time in seconds after which a task gives way if wake-ups wait; a look at them, and another task, cost
#: little against it.
TURN_SECONDS = 0.25


class Turn:
    """The time of one task: it ends with the budget, or sooner where others wait for a lane.

    Args:
        clock: Monotonic clock, in seconds.
        others_wait: Whether other wake-ups wait for a lane; may ask Redis.
    """

    def __init__(self, clock: Callable[[], float], others_wait: Callable[[], bool]) -> None:
        self._clock = clock
        self._others_wait = others_wait
        self._ends = clock() + BUDGET_SECONDS
        self._look_due = clock() + TURN_SECONDS

    def is_over(self) -> bool:
        """Whether the task is to end; looks at others once in each `TURN_SECONDS`."""
        now = self._clock()
        if now >= self._ends:
            return True
        if now < self._look_due:
            return False
        self._look_due = now + TURN_SECONDS
        return self._others_wait()

    def goes_on(self) -> bool:
        """Whether it is not over, as far as the clock alone tells; False if a look at others is due."""
        return self._clock() < min(self._ends, self._look_due)
