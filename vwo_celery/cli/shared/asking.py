"""The question before a change that cannot be undone."""

from __future__ import annotations

import sys

import click

from vwo_celery.cli.shared.lines import print_line


def agree(question: str) -> None:
    """Return if somebody agrees.

    Raises:
        click.Abort: They do not.
        click.ClickException: Nobody is there to answer.
    """
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise  # Ctrl-C
        print_line("", err=True)
        raise click.ClickException(
            "nobody answered, as there is no terminal: nothing was changed; with --yes it does not ask"
        ) from None
    if not agreed:
        raise click.Abort
