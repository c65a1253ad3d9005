"""What `vwo-celery top` draws and counts, without a terminal, and where it cannot run."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.command_line import run_command
from tools.docs import load_builder
from vwo_celery.operating.past.history import QueueHistory, Step
from vwo_celery.top.looking.rates import Rates
from vwo_celery.top.looking.series import of_all
from vwo_celery.top.parts.bars import bars

builder = load_builder("build_top")
values = st.lists(st.none() | st.floats(0, 1e12), max_size=50)


@given(values, st.integers(1, 8))
def test_bars_fill_their_rows(numbers: list[float | None], height: int) -> None:
    """Each value is a column: the largest fills it, one above 0 is seen, and a missing one is empty."""
    rows = bars(numbers, height)

    assert [len(row) for row in rows] == [len(numbers)] * height
    most = max((each for each in numbers if each is not None), default=0)
    for i, number in enumerate(numbers):
        column = "".join(row[i] for row in rows)
        if number is None:
            assert column.strip() == ""
        elif number == 0 or most == 0:
            assert column.strip() == "_"
        else:
            assert column.strip("_ ") != ""
            assert number < most or column == "█" * height


def test_bars_of_a_few_values() -> None:
    """Half of the largest value is half as high."""
    assert bars([0, 1, 2, None, 4], 2) == ["    █", "_▄█ █"]


def views(**delivered: int) -> Any:
    """Views of queues that have delivered so many events."""
    return {name: builder._view(name, delivered=number) for name, number in delivered.items()}


def test_a_rate_is_taken_over_the_last_seconds() -> None:
    """What was delivered between the looks of the last ten seconds, by the second."""
    rates = Rates()
    speeds = [rates.note(second * 1_000, views(a=10 * second, b=0)) for second in range(31)]

    assert speeds[0].of_all is None
    assert speeds[-1].queues == {"a": 10.0, "b": 0.0}
    assert speeds[-1].over_seconds == 10
    assert speeds[-1].of_all == 10.0


def test_a_counter_that_fell_has_no_rate() -> None:
    """Redis lost it, or the queue was forgotten: the rate is not known, and never below 0."""
    rates = Rates()
    rates.note(0, views(a=1_000, b=0))

    speeds = rates.note(1_000, views(a=5, b=7, new=3))

    assert speeds.queues == {"a": None, "b": 7.0, "new": None}
    assert speeds.of_all == 7.0


def step(minute: int, seconds: float, delivered: int | None) -> Step:
    """A step that ends with a minute."""
    return Step(minute * 60_000, seconds, delivered, delivered, 0, 0, 0, 9, 0, 0.0, False)


def test_missing_samples_are_a_gap() -> None:
    """Minutes without a sample have no value, and the counters that began anew have no rate."""
    steps = (step(1, 60, 60), step(4, 180, 360), step(5, 60, None))
    scene = msgspec.structs.replace(
        builder._scene(), history=QueueHistory("", 60.0, steps)
    )  # the present follows

    rate, waiting = of_all(scene)

    assert rate.values == [1.0, None, None, 2.0, None, scene.speeds.of_all]
    assert waiting.values == [9, None, None, 9, 9, scene.waiting]
    assert rate.told(80) == "last 6 min, most 908"


def test_without_textual_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install, and what shows the queues without it."""
    monkeypatch.setattr("vwo_celery.cli.top.find_spec", lambda _: None)

    ran = run_command(["top"])

    assert ran.exit_code == 1
    assert "[tui]" in ran.stderr
    assert "vwo-celery status --watch" in ran.stderr


def test_without_a_terminal_it_says_what_to_use() -> None:
    """A pipe has no keys."""
    ran = run_command(["top"])

    assert ran.exit_code == 1
    assert "needs a terminal; vwo-celery status --watch" in ran.stderr


@pytest.mark.parametrize("words", [["--help"], ["top", "--help"], ["status", "--help"]])
def test_no_other_command_loads_textual(words: list[str]) -> None:
    """It is loaded when the terminal is taken, and not before."""
    program = (
        "import sys\nfrom vwo_celery.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "sys.exit('textual' in sys.modules)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, timeout=60
    )

    assert ran.returncode == 0, ran.stderr
