"""Single lines, for commands that load nothing to print tables with, and for errors."""

from __future__ import annotations

from typing import Any

import click

from vwo_celery.text.lines import one_line


def print_line(text: str, *, err: bool = False, **style: Any) -> None:
    """Print one line, whatever *text* holds; *style* as for `click.style`."""
    click.secho(one_line(text), err=err, **style)


def clean_error(exc: click.ClickException) -> None:
    """Make the error's text safe to print; only click's help keeps its lines, where it is an error."""
    help_text = getattr(click.exceptions, "NoArgsIsHelpError", ())  # of click 8.2 and newer
    lines = exc.message.split("\n") if isinstance(exc, help_text) else [exc.message]
    exc.message = "\n".join(map(one_line, lines))  # type: ignore[misc]  # final to type checkers only
