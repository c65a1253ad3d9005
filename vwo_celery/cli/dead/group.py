"""The command that all commands on dead letters belong to."""

from __future__ import annotations

import click

from vwo_celery.cli.shared.session import CommandGroup


@click.group(cls=CommandGroup)
def dead() -> None:
    """List, show, add, redrive, purge, export or import dead letters: batches that are sent no more."""
