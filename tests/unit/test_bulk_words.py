"""What a command says at the end of work on many batches."""

from __future__ import annotations

import pytest

from vwo_celery.cli.shared.bulk import report_done
from vwo_celery.cli.shared.session import Session
from vwo_celery.operating.operations import Amount, Done

GOES_ON = "the same command goes on from there"


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (Done(Amount(1, 5)), ["5 events in 1 batch made due"]),
        (Done(Amount(0, 7)), ["7 events made due"]),
        (Done(Amount(1, 5), stopped=True), ["5 events in 1 batch made due", f"stopped; {GOES_ON}"]),
        (
            Done(Amount(1, 5), Amount(2, 6), stopped=True),
            ["5 events in 1 batch made due", f"stopped: 6 events in 2 batches left; {GOES_ON}"],
        ),
    ],
)
def test_the_end_says_what_is_left(
    capsys: pytest.CaptureFixture[str], done: Done, said: list[str]
) -> None:
    """Work that was stopped says so, and no number of what is left that nobody counted."""
    report_done(Session(), "made_due", done)

    assert capsys.readouterr().out.splitlines() == said
