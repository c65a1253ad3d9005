"""Run many random lives of a shard in a row."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from lua.clock import own_clock
from lua.outages import RefusedLife
from vwo_celery.queue import shard as store
from vwo_celery.queue.handling import picking

STEPS = 40


def live(client: Any, examples: int) -> None:
    """Run the given number of random lives, and shrink the first failing one to its shortest form."""

    class Life(RefusedLife):
        pass

    numbers = count()
    with pytest.MonkeyPatch.context() as patch, own_clock(client) as Life.clock:
        # Keeps a life reproducible: batches that are sealed in the same millisecond are ordered by
        # name.
        patch.setattr(store, "new_token", lambda: f"token{next(numbers):09}")
        patch.setattr(picking, "new_token", lambda: f"{next(numbers) % 10_000:04}")
        run_state_machine_as_test(
            Life,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
