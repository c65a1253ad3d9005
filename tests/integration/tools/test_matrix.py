"""tests/matrix.py and tools/pythons.py choose what `make test-all` runs, and with which releases."""

from __future__ import annotations

import matrix
from tools.pythons import oldest_pins


def test_the_oldest_releases_are_the_bounds_of_pyproject() -> None:
    """Each promised package is pinned once, at the bound for this Python if it has its own."""
    on_310, on_313 = oldest_pins("3.10"), oldest_pins("3.13")

    assert "redis==5.0.1" in on_310
    assert len(on_310) == len(on_313)
    assert {"msgspec==0.18.6", "hiredis==2.3.2"} <= set(on_310)
    assert {"msgspec==0.19", "hiredis==3.1"} <= set(on_313)


def test_without_a_word_every_combination_is_chosen() -> None:
    """By default all Pythons are chosen, each with its oldest and newest releases."""
    chosen, rest = matrix.choose(["-k", "flush"], ["3.11"])

    assert (chosen[0], chosen[-1], len(chosen)) == ("3.10-oldest", "3.13-newest", 8)
    assert rest == ["-k", "flush"]


def test_named_combinations_are_chosen_and_not_handed_to_pytest() -> None:
    """Combinations among the arguments are chosen; the rest is passed to pytest."""
    assert matrix.choose(["3.12-newest", "-x"], ["3.12"]) == (["3.12-newest"], ["-x"])


def test_the_ends_are_those_of_the_pythons_found() -> None:
    """`ends` is the first Python with the oldest releases and the last with the newest, if any."""
    assert matrix.choose(["ends", "-x"], ["3.11", "3.12"]) == (
        ["3.11-oldest", "3.12-newest"],
        ["-x"],
    )
    assert matrix.choose(["oldest"], ["3.11", "3.12"]) == (["3.11-oldest"], [])
    assert matrix.choose(["newest", "-x"], ["3.11", "3.12"]) == (["3.12-newest"], ["-x"])
    assert matrix.choose(["ends"], []) == ([], [])
    assert matrix.choose(["newest"], []) == ([], [])
