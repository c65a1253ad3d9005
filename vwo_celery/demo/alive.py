"""A sign of life in a file: `python -m vwo_celery.demo.alive FILE` fails when it is too old.

The health check of its replicas.
"""

from __future__ import annotations

from pathlib import Path

import click

from vwo_celery.operating.looks.alive import give_sign, read_sign


def note_life(path: Path, calls: int) -> None:
    """Write how many calls succeeded so far."""
    give_sign(path, str(calls))


def read_calls(path: Path) -> int:
    """The number last written; 0 before the first."""
    sign = read_sign(path)
    return int(sign.text) if sign else 0


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--max-age-seconds", default=15.0, show_default=True, help="Older counts as dead.")
def main(file: Path, max_age_seconds: float) -> None:
    """Exit 0 if FILE was written lately, else 1."""
    sign = read_sign(file)
    if sign is None:
        raise click.ClickException(f"{file}: no sign of life yet")
    if sign.age_seconds > max_age_seconds:
        raise click.ClickException(f"{file}: the last sign of life is {sign.age_seconds:.0f} s old")
    click.echo(f"alive, {sign.text} calls so far")


if __name__ == "__main__":
    main(prog_name="python -m vwo_celery.demo.alive")
