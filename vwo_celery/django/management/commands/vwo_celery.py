"""`manage.py vwo_celery …`: the operator's command, with the settings of Django's VWO_CELERY.

Beside the event's way. All words after Django's own options go to `vwo-celery`,
which answers, prints and exits as it does without Django.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

#: Options that Django knows for every command: with a value, and without.
_DJANGO_OPTIONS_WITH_VALUE = {"--settings", "--pythonpath", "--verbosity", "-v"}
_DJANGO_SWITCHES = {
    *("--traceback", "--skip-checks", "--no-color", "--force-color"),
    *("-v0", "-v1", "-v2", "-v3"),
}
_DJANGO_OPTIONS = _DJANGO_OPTIONS_WITH_VALUE | _DJANGO_SWITCHES
_COLOR_VARIABLES = {"--no-color": "NO_COLOR", "--force-color": "FORCE_COLOR"}


class Command(BaseCommand):  # type: ignore[misc]
    """Passes the words of Django's command line on to `vwo-celery`."""

    help = "Look at and steer the queues of vwo_celery; `manage.py vwo_celery --help` for more."
    #: An operator at 3 a.m. is not stopped by another app's checks.
    requires_system_checks: tuple[str, ...] = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Run `manage.py vwo_celery …`; exits with the code of the operator's command."""
        options, words = split_options(argv[2:])
        for option in options:
            if option in _COLOR_VARIABLES:
                os.environ.setdefault(_COLOR_VARIABLES[option], "1")
        try:
            _operate(words, f"{os.path.basename(argv[0])} {argv[1]}")
        finally:
            connections.close_all()

    def print_help(self, prog_name: str, subcommand: str) -> None:
        """Print the help, for `manage.py help vwo_celery`."""
        _operate(["--help"], f"{prog_name} {subcommand}")

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the words, for `call_command("vwo_celery", …)`."""
        parser.add_argument("words", nargs="...")

    def handle(self, *args: Any, words: Sequence[str], **options: Any) -> None:
        """Run `call_command("vwo_celery", …)`.

        Raises:
            CommandError: It exited with a code other than 0, which is the error's `returncode`.
        """
        self.stdout.ending = ""
        try:
            with redirect_stdout(self.stdout):
                _operate(words, "manage.py vwo_celery")
        except SystemExit as exc:
            if exc.code:
                raise CommandError("see above", returncode=exc.code) from exc


def split_options(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Django's options at the beginning of *words*, without their values; and the rest."""
    options: list[str] = []
    rest = list(words)
    while rest and (option := rest[0].partition("=")[0]) in _DJANGO_OPTIONS:
        has_next_word = option in _DJANGO_OPTIONS_WITH_VALUE and option == rest[0]
        options.append(option)
        del rest[: 2 if has_next_word else 1]
    return options, rest


def _operate(words: Sequence[str], name: str) -> None:
    # Imported here, since Django imports this module also to list the command.
    from vwo_celery.cli import main
    from vwo_celery.cli.shared.session import Session

    main(list(words), prog_name=name, obj=Session(door="django", command=name))
