"""The command that all commands on dead letters belong to."""

from __future__ import annotations

import click


@click.group()
def dead() -> None:
    """List, show, add, redrive, purge, export or import dead letters: batches that are sent no more."""
