"""Run many random lives of a shard in a row; how many lives each model has."""

from __future__ import annotations

import os
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from lua.clock import own_clock
from lua.life.handling import HandledLife
from lua.mixed import MixedLife
from vwo_celery.queue import shard as store
from vwo_celery.queue.handling import picking

STEPS = 40
#: Examples of Hypothesis' default, below which a run is a quick one, and then the share of lives.
_USUAL, _QUICK_SHARE = 100, 0.2


def lives_of_a_model(number: int) -> int:
    """The number of lives that a model has in this run: fewer where the profile is a quick one.

    For more lives than the suite has time for: MODEL_EXAMPLES=5000 pytest tests/lua/test_model.py
    """
    if "MODEL_EXAMPLES" in os.environ:
        return int(os.environ["MODEL_EXAMPLES"])
    return number if settings().max_examples >= _USUAL else int(number * _QUICK_SHARE)


def live(client: Any, examples: int) -> None:
    """Run the given number of random lives, and shrink the first failing one to its shortest form."""

    class Life(HandledLife):
        pass

    with own_clock(client) as Life.clock:
        _run(Life, examples)


def live_mixed(client: Any, examples: int) -> None:
    """The same for lives under two releases, by Redis' own clock."""

    class Life(MixedLife):
        pass

    Life.client = client
    _run(Life, examples)


def _run(life: type[RuleBasedStateMachine], examples: int) -> None:
    numbers = count()
    with pytest.MonkeyPatch.context() as patch:
        # Keeps a life reproducible: batches that are sealed in the same millisecond are ordered by
        # name.
        patch.setattr(store, "new_token", lambda: f"token{next(numbers):09}")
        patch.setattr(picking, "new_token", lambda: f"{next(numbers) % 10_000:04}")
        run_state_machine_as_test(
            life,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
