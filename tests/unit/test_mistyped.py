"""Whoever mistypes a command is told what may have been meant; none of this asks Redis."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from vwo_celery.cli import main

STRAY = "a queue is named by --queue QUEUE"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("stauts", "No such command 'stauts' (did you mean 'status'?)."),
        ("help", "No such command 'help' (did you mean '--help'?)."),
        ("version", "No such command 'version' (did you mean '--version'?)."),
        ("dead lst", "No such command 'lst' (did you mean 'list'?)."),
        ("nope", "No such command 'nope'."),
        ("queues fme-1", f"No such command 'fme-1'; {STRAY}"),
        ("flush fme-1", f"Got unexpected extra argument (fme-1); {STRAY}"),
        ("workers fme-1", "Got unexpected extra argument (fme-1)"),
    ],
)
def test_a_mistyped_command_is_told_what_was_meant(typed: str, told: str) -> None:
    """The nearest command or option; for a stray word, how a queue is named."""
    ran = CliRunner().invoke(main, typed.split())

    assert ran.exit_code == click.UsageError.exit_code
    assert ran.output.splitlines()[-1] == f"Error: {told}"
