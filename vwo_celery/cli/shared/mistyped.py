"""What somebody meant who mistyped a command or gave a queue's name where an option takes it.

Click, as far as it does so, knows only commands that are loaded already. Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable

import click

from vwo_celery.text.wording import nearest

_STRAY = ("Got unexpected extra argument", "No such command")


def no_such_command(name: str, known: Iterable[str], context: click.Context) -> click.UsageError:
    """The error for a command that is none of *known*, with what may have been meant."""
    options = {each for parameter in context.command.params for each in parameter.opts}
    options.update(context.help_option_names)
    meant = f" (did you mean '--{name}'?)" if f"--{name}" in options else nearest(name, known)
    return click.UsageError(f"No such command {name!r}{meant}.", ctx=context)


def tell_queue_option(exc: click.UsageError) -> None:
    """Have the error for a stray word name `--queue`, where the command has it."""
    parameters = exc.ctx.command.params if exc.ctx is not None else []
    if exc.message.startswith(_STRAY) and any("--queue" in each.opts for each in parameters):
        told = f"{exc.message.rstrip('.')}; a queue is named by --queue QUEUE"
        exc.message = told  # type: ignore[misc]  # final to type checkers only
