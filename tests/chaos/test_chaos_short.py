"""A short fault matrix, and a soak of seconds; `make chaos` and `make soak` run them at length."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from chaos.faults import MATRIX, SHORT, Row
from chaos.faults.row import nothing
from chaos.run import Fleets, chosen, try_rows
from chaos.soak import soak

_SOAK_MINUTES = 0.25
_SEED = 4711


def test_the_most_telling_faults_lose_nothing(tmp_path: Path) -> None:
    """No promised event is lost, and none is repeated without a lost answer or lease.

    One row more shows that the check works: it promises an impossible recovery.
    """
    hopeless = Row(name="hopeless", fault="none", inflict=nothing, recover_seconds=-1)
    with Fleets(tmp_path) as fleets:
        tried = try_rows([*chosen((), short=True), hopeless], fleets)
        problems = {result.row: result.problems for _, result in tried}

    (broken,) = problems.pop(hopeless.name)
    assert broken.startswith("not recovered:")
    assert problems == dict.fromkeys(SHORT, ())


def test_a_short_soak_loses_nothing(tmp_path: Path) -> None:
    """Faults in the order of a seed, one after another, lose no event."""
    outcome, _ = soak(tmp_path, _SEED, _SOAK_MINUTES, Console(quiet=True))

    assert outcome.problems == ()
    assert outcome.faults


def test_the_rows_have_names_of_their_own() -> None:
    """Every row has its own name, and the short form names existing rows."""
    names = [row.name for row in MATRIX]

    assert len(set(names)) == len(names)
    assert set(SHORT) <= set(names)
    with pytest.raises(Exception, match="no such row: nonsense"):
        chosen(("nonsense",), short=False)
