"""`vwo-celery`, the operator's command: what is stuck, since when, why, and what to do about it.

Beside an event's way; translates words into calls of the inspector, the operations and the doctor.
Rooms, in reading order: `shared` (what commands share), `looks` (commands that show), `changes` (those
that change queues), `dead` (those on dead letters). Files: `top` (all of it in a terminal that stays
open), `web` (the same in a browser), `relay` (serves SDKs), `acl` and `completion` (texts for Redis and
for a shell), `celery_command` (all commands as `celery -A yourapp vwo …`).

Exit codes: 0 done, 1 it found or met a problem, 2 wrong usage.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

from vwo_celery import __version__
from vwo_celery.cli.shared.session import Operator, common_options, json_option

#: The commands by what they are for; each one's place, which is imported only when asked for: that
#: keeps `health` quick.
_GROUPS = {
    "What is wrong": {
        "doctor": "vwo_celery.cli.looks.doctor:examine",
        "status": "vwo_celery.cli.looks.status:status",
        "ledger": "vwo_celery.cli.looks.ledger:ledger",
        "health": "vwo_celery.cli.looks.health:check",
    },
    "Look": {
        "top": "vwo_celery.cli.top:top",
        "queues": "vwo_celery.cli.looks.queues:queues",
        "workers": "vwo_celery.cli.looks.workers:workers",
        "peek": "vwo_celery.cli.looks.peek:peek",
        "tail": "vwo_celery.cli.looks.tail:tail",
        "history": "vwo_celery.cli.looks.history:history",
        "plan": "vwo_celery.cli.looks.plan:plan",
        "audit": "vwo_celery.cli.looks.audit:audit",
        "shadow-report": "vwo_celery.cli.looks.shadow_report:shadow_report",
    },
    "Steer": {
        "flush": "vwo_celery.cli.changes.flush:flush",
        "pause": "vwo_celery.cli.changes.pause:pause",
        "resume": "vwo_celery.cli.changes.pause:resume",
        "retry": "vwo_celery.cli.changes.waiting:retry",
    },
    "Put right": {
        "dead": "vwo_celery.cli.dead:dead",
        "move": "vwo_celery.cli.changes.move:move",
        "purge": "vwo_celery.cli.changes.waiting:purge",
        "spool": "vwo_celery.cli.changes.spool:spool",
        "jobs": "vwo_celery.cli.changes.jobs:jobs",
    },
    "Serve": {
        "web": "vwo_celery.cli.web:web",
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
    """Look at and steer the queues that VWO's events wait in. If something is wrong: doctor.

    Exit codes: 0 done, 1 it found or met a problem, 2 wrong usage.
    """
