"""`vwo-celery`, the operator's command: what is stuck, since when, why, and what to do about it.

Beside an event's way; translates words into calls of the inspector, the operations and the doctor.
Files, in reading order: `session` (what all commands share: options, settings, errors as one line),
`brakes` (Ctrl-C), `output` (tables), `lines` (single lines), `documents` (what `--json` prints),
`events` (as they are shown), `watching` (a page
again and again), `completing` (names of queues in a shell); then one for each command:
`status`, `doctor`, `health`, `ledger`, `history`, `plan`, `queues`, `peek`, `tail`, `workers`,
`flush`, `pause` (and `resume`), `waiting` (`purge`, `retry`), `dead`, `move`, `spool`, `audit`,
`jobs`, `relay`, `acl`, `completion`; and `celery_command` (all of them as `celery -A yourapp vwo …`).

Exit codes: 0 done, 1 it found or met a problem, 2 wrong usage.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

from vwo_celery import __version__
from vwo_celery.cli.session import Operator, common_options, json_option

#: The commands by what they are for; each one's place, which is imported only when asked for: that
#: keeps `health` quick.
_GROUPS = {
    "What is wrong": {
        "doctor": "vwo_celery.cli.doctor:examine",
        "status": "vwo_celery.cli.status:status",
        "ledger": "vwo_celery.cli.ledger:ledger",
        "health": "vwo_celery.cli.health:check",
    },
    "Look": {
        "queues": "vwo_celery.cli.queues:queues",
        "workers": "vwo_celery.cli.workers:workers",
        "peek": "vwo_celery.cli.peek:peek",
        "tail": "vwo_celery.cli.tail:tail",
        "history": "vwo_celery.cli.history:history",
        "plan": "vwo_celery.cli.plan:plan",
        "audit": "vwo_celery.cli.audit:audit",
    },
    "Steer": {
        "flush": "vwo_celery.cli.flush:flush",
        "pause": "vwo_celery.cli.pause:pause",
        "resume": "vwo_celery.cli.pause:resume",
        "retry": "vwo_celery.cli.waiting:retry",
    },
    "Put right": {
        "dead": "vwo_celery.cli.dead:dead",
        "move": "vwo_celery.cli.move:move",
        "purge": "vwo_celery.cli.waiting:purge",
        "spool": "vwo_celery.cli.spool:spool",
        "jobs": "vwo_celery.cli.jobs:jobs",
    },
    "Serve": {
        "relay": "vwo_celery.cli.relay:relay",
    },
    "Set up and try": {
        "acl": "vwo_celery.cli.acl:acl",
        "completion": "vwo_celery.cli.completion:completion",
        "dev": "vwo_celery.demo.dev:dev",
        "demo": "vwo_celery.demo.command:demo",
    },
}
_COMMANDS = {name: place for group in _GROUPS.values() for name, place in group.items()}

#: Commands whose package a distribution may leave out.
_OF_DEMO = ("demo", "dev")


class Commands(Operator):
    """The commands by name; those of `demo/` are missing where it is."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return [name for name in _COMMANDS if name not in _OF_DEMO or _has_demo()]

    def groups(self, ctx: click.Context) -> dict[str, list[str]]:
        """Names of the commands by what they are for."""
        known = self.list_commands(ctx)
        return {
            heading: [name for name in group if name in known] for heading, group in _GROUPS.items()
        }

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


def _has_demo() -> bool:
    try:
        return find_spec("vwo_celery.demo.command") is not None
    except ModuleNotFoundError:
        return False


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@common_options
@json_option
@click.version_option(__version__, prog_name="vwo-celery")
def main() -> None:
    """Look at and steer the queues that VWO's events wait in. If something is wrong: vwo-celery doctor.

    Exit codes: 0 done, 1 it found or met a problem, 2 wrong usage.
    """
