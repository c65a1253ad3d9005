"""Single lines, for commands that load nothing to print tables with, and for errors."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from vwo_celery.text.lines import one_line

#: Name of our command, as all texts have it.
COMMAND: Final = "vwo-celery"
_COMMANDS = re.compile(rf"(?<![\w-]){COMMAND}(?= [a-z])")
#: Where a context keeps what its user types in place of that name.
_TYPED = "vwo_celery.typed"


def type_as(context: click.Context, command: str) -> None:
    """Have the texts that are printed in *context* name our commands as its user types them."""
    context.meta[_TYPED] = command


def to_show(text: str) -> str:
    """*text* as one line, whatever it holds, with our commands as whoever reads it types them."""
    context = click.get_current_context(silent=True)
    typed = context.meta.get(_TYPED, COMMAND) if context is not None else COMMAND
    return one_line(text if typed == COMMAND else _COMMANDS.sub(lambda _: typed, text))


def print_line(text: str, *, err: bool = False, **style: Any) -> None:
    """Print one line, whatever *text* holds; *style* as for `click.style`."""
    click.secho(to_show(text), err=err, **style)


def clean_error(exc: click.ClickException) -> None:
    """Make the error's text safe to print; only click's help keeps its lines, where it is an error."""
    help_text = getattr(click.exceptions, "NoArgsIsHelpError", ())  # of click 8.2 and newer
    lines = exc.message.split("\n") if isinstance(exc, help_text) else [exc.message]
    exc.message = "\n".join(map(to_show, lines))  # type: ignore[misc]  # final to type checkers only
