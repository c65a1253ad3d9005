"""Many random lives of a shard, in a row."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from lua.outages import RefusedLife

STEPS = 40


def live(client: Any, examples: int) -> None:
    """Run so many random lives, and shrink the first that goes wrong to its shortest form."""

    class Life(RefusedLife):
        pass

    Life.client = client
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
