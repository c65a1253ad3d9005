"""What a bulk command says that ends in its middle."""

from __future__ import annotations

import pytest

from vwo_celery.cli.shared.bulk import progress
from vwo_celery.cli.shared.session import Session
from vwo_celery.errors import QueueUnavailable


def fail(error: BaseException, *, goes_on: bool) -> None:
    """Work on batches, and end in the middle."""
    with progress(Session(), "batches", 9, goes_on=goes_on) as (_, step):
        step(3)
        raise error


@pytest.mark.parametrize("error", [QueueUnavailable("Redis is away"), KeyboardInterrupt()])
def test_it_says_how_far_it_had_come(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever runs it again knows that it goes on."""
    with pytest.raises(type(error)):
        fail(error, goes_on=True)

    told = "batches done before that: 3; the same command goes on from there"
    assert capsys.readouterr().err.strip() == told


def test_what_begins_anew_does_not_say_that_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """An export keeps no file that is not whole."""
    with pytest.raises(QueueUnavailable):
        fail(QueueUnavailable("Redis is away"), goes_on=False)

    assert capsys.readouterr().err.strip() == ""
