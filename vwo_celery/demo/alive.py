"""A sign of life in a file: `python -m vwo_celery.demo.alive FILE` fails when it is too old.

The health check of its replicas.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import click


def note_life(path: Path, calls: int) -> None:
    """Write how many calls succeeded so far; a reader sees the old number or the new one."""
    written = path.with_name(f"{path.name}.new")
    written.write_text(str(calls), "ascii")
    os.replace(written, path)


def read_calls(path: Path) -> int:
    """The number last written; 0 before the first."""
    try:
        return int(path.read_text("ascii"))
    except FileNotFoundError:
        return 0


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--max-age-seconds", default=15.0, show_default=True, help="Older counts as dead.")
def main(file: Path, max_age_seconds: float) -> None:
    """Exit 0 if FILE was written lately, else 1."""
    try:
        age_seconds = time.time() - file.stat().st_mtime
    except FileNotFoundError:
        raise click.ClickException(f"{file}: no sign of life yet") from None
    if age_seconds > max_age_seconds:
        raise click.ClickException(f"{file}: the last sign of life is {age_seconds:.0f} s old")
    click.echo(f"alive, {read_calls(file)} calls so far")


if __name__ == "__main__":
    main(prog_name="python -m vwo_celery.demo.alive")
