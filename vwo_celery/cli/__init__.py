"""`vwo-celery`, the operator's command: what is stuck, since when, why, and what to do about it.

Place: adapters, beside an event's way; translates words into calls of the inspector, the operations
and the doctor. Exit codes: 0 done, 1 it found or met a problem, 2 wrong usage.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

from vwo_celery import __version__
from vwo_celery.cli.dead import dead
from vwo_celery.cli.doctor import examine
from vwo_celery.cli.flush import flush
from vwo_celery.cli.ledger import ledger
from vwo_celery.cli.pause import pause, resume
from vwo_celery.cli.queues import queues
from vwo_celery.cli.session import Operator, common_options, json_option
from vwo_celery.cli.spool import spool
from vwo_celery.cli.status import status

_DEMO_MODULE = "vwo_celery.demo.command"


def _has_demo() -> bool:
    try:
        return find_spec(_DEMO_MODULE) is not None
    except ModuleNotFoundError:
        return False


class _WithDemo(Operator):
    """The commands; the demo, with all that it needs, is imported only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return sorted({*super().list_commands(ctx), *(["demo"] if _has_demo() else [])})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if cmd_name == "demo" and _has_demo():
            command: click.Command = import_module(_DEMO_MODULE).demo
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=_WithDemo, context_settings={"help_option_names": ["-h", "--help"]})
@common_options
@json_option
@click.version_option(__version__, prog_name="vwo-celery")
def main() -> None:
    """Look at and steer the queues that VWO's events wait in.

    Exit codes: 0 done, 1 it found or met a problem, 2 wrong usage.
    """


for command in (status, queues, ledger, flush, pause, resume, dead, spool, examine):
    main.add_command(command)
