"""Parts that every command shares: common options, settings, `--json`, and errors as one line.

It connects only when a command asks for the queues.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NoReturn, TypeVar

import click
import msgspec
from click.exceptions import Exit

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.lines import COMMAND, clean_error, print_line, type_as
from vwo_celery.cli.shared.mistyped import no_such_command, tell_queue_option
from vwo_celery.connections import open_client, unavailable
from vwo_celery.connections.errors import is_wrong_type
from vwo_celery.errors import QueueUnavailable, VwoCeleryError
from vwo_celery.operating.doctor.connection import reason_of
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.past.audit import Actor, actor_of_cli
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.parts import Part, describe_away
from vwo_celery.queue.words.registration import Registration
from vwo_celery.settings import Settings
from vwo_celery.text.masking import mask_url

#: Longest wait for one answer of Redis; an operator's look at many queues is one large answer.
_REDIS_TIMEOUT_SECONDS = 5.0

#: Longest first sentence of a command's help that a list of commands shows: any.
_NO_LIMIT = 1_000

#: Errors of a disk that takes no more of what a command prints, or of a reader that is gone.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE)

Decorated = TypeVar("Decorated", bound=Any)


class Session:
    """One command line: its common options, the settings and the queues that they lead to.

    Args:
        door: The way in by which the command was reached; see `audit.DOORS`.
        command: What is typed in place of "vwo-celery" there.
    """

    def __init__(self, door: str = "cli", command: str = COMMAND) -> None:
        self.door = door
        self.command = command
        self.redis_url: str | None = None
        self.namespace: str | None = None
        self.json = False
        self.app_settings: Settings | None = None
        self.celery_app: Any = None
        self.away: Sequence[Part] = ()

    @cached_property
    def actor(self) -> Actor:
        """Who runs this command, and where, for the audit."""
        return actor_of_cli(self.door)

    @cached_property
    def settings(self) -> Settings:
        """Settings of the options, else of the Celery app, or of Django and the environment.

        Raises:
            SettingsError: A setting is wrong.
        """
        if self.app_settings is not None:
            options = {"redis_url": self.redis_url, "namespace": self.namespace}
            given = {name: text for name, text in options.items() if text is not None}
            return msgspec.structs.replace(self.app_settings, **given)
        return Settings.load(redis_url=self.redis_url, namespace=self.namespace)

    @cached_property
    def fleet(self) -> Fleet:
        """The queues; connects when first used. Parts of a Cluster that are away are left alone.

        Raises:
            QueueUnavailable: The URL leads nowhere, or no part of a Cluster answers.
        """
        return self.open_fleet()

    def open_fleet(self) -> Fleet:
        """The queues, with parts of a Cluster looked for anew, over the connections of this session.

        Raises:
            QueueUnavailable: As of `fleet`.
        """
        fleet = Fleet(self._client, self.settings.namespace)
        self.away = fleet.leave_parts_away()
        return fleet

    @cached_property
    def _client(self) -> Any:
        url = self.settings.redis_url
        try:
            with unavailable("opening a connection"):
                return open_client(url, timeout_seconds=_REDIS_TIMEOUT_SECONDS)
        except ValueError as exc:  # a URL that the Redis client cannot read
            raise QueueUnavailable(f"opening a connection: {exc}") from exc

    def choose(self, queues: Sequence[str]) -> dict[str, Registration]:
        """The registered queues of these names; all if no name is given.

        Raises:
            QueueUnknown: There is no such queue, or its registration cannot be read.
        """
        found = self.fleet.registrations()
        return inspector.choose(found.readable, queues, found.unreadable)

    def say_parts_away(self) -> None:
        """Print which parts of a Cluster are away, and since when; beside a JSON document."""
        for part in self.away:
            text = describe_away(part, time.time())
            print_line(text, err=self.json, fg="red", bold=True)


pass_session = click.make_pass_decorator(Session, ensure=True)


def common_options(function: Decorated) -> Decorated:
    """`--redis-url` and `--namespace`, which may stand before the command and after it."""
    options = (
        click.option(
            "--redis-url", metavar="URL", callback=_keep, expose_value=False,
            help="Redis that holds the queues.  [default: VWO_CELERY_REDIS_URL, Django, or localhost]",
        ),
        click.option(
            "--namespace", metavar="NAME", callback=_keep, expose_value=False,
            help="First part of every key.  [default: VWO_CELERY_NAMESPACE, Django, or vwo]",
        ),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def json_option(function: Decorated) -> Decorated:
    """`--json`, of commands that print."""
    return click.option(
        "--json", is_flag=True, callback=_keep, expose_value=False,
        help="Print one JSON document.",
    )(function)  # fmt: skip


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value and parameter.name is not None:
        setattr(context.ensure_object(Session), parameter.name, value)


class CommandGroup(click.Group):
    """A group of commands whose help cuts no sentence off, and which guesses what was meant."""

    def groups(self, ctx: click.Context) -> dict[str, list[str]]:
        """Names of the commands by a heading of the help."""
        return {"Commands": self.list_commands(ctx)}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with all of its first sentence."""
        for heading, names in self.groups(ctx).items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(heading):
                formatter.write_dl(
                    [(name, each.get_short_help_str(_NO_LIMIT)) for name, each in found if each]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first word, as click finds it."""
        name, known = args[0], self.list_commands(ctx)
        if name in known or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise no_such_command(name, known, ctx)


class Operator(CommandGroup):
    """A group of commands in which each of our errors ends as one line, never as a traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run as click does; with --json an error is a JSON document, too."""
        words = list(sys.argv[1:] if args is None else args)
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal may not know every letter
        if not standalone_mode:
            return super().main(words, prog_name, complete_var, standalone_mode, **extra)
        as_json = "--json" in words
        try:
            code = super().main(words, prog_name, complete_var, False, **extra) or 0
            if sys.stdout is not None:  # as of `>&-`
                sys.stdout.flush()
            sys.exit(code)
        except click.ClickException as exc:
            clean_error(exc)
            if as_json:
                print_json({"error": exc.format_message()})
            else:
                exc.show()
            sys.exit(exc.exit_code)
        except (click.Abort, KeyboardInterrupt):
            if as_json:
                print_json({"error": "interrupted"})
            else:
                click.echo("Aborted!", err=True)
            sys.exit(1)
        except OSError as exc:
            if exc.errno not in _UNWRITABLE:
                raise
            _end_unwritten(exc)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; our own errors become click's.

        Exits 1 if a part of a Redis Cluster is away, since the command did not reach it.
        """
        session = ctx.ensure_object(Session)  # before the command's own context, which shares it
        type_as(ctx, session.command)
        try:
            return self._invoke(ctx, session)
        except click.ClickException as exc:
            clean_error(exc)  # here, where the context tells how commands are typed
            raise

    def _invoke(self, ctx: click.Context, session: Session) -> Any:
        try:
            answer = super().invoke(ctx)
        except Exit as exc:
            session.say_parts_away()
            raise Exit(exc.exit_code or int(bool(session.away))) from None
        except QueueUnavailable as exc:
            reason = reason_of(exc, lambda: session.fleet)
            remedy, url = reason.remedy, mask_url(session.settings.redis_url)
            # Where a key is another program's, Redis answers, and all that needs another key goes on.
            where = "" if is_wrong_type(exc) else f"{url} cannot be used: "
            raise click.ClickException(
                f"{where}{reason.what.rstrip('.')}. {remedy[0].upper()}{remedy[1:]}; vwo-celery "
                "doctor tells more"
            ) from exc
        except VwoCeleryError as exc:
            session.say_parts_away()  # what is not found may lie there
            raise click.ClickException(str(exc)) from exc
        except click.UsageError as exc:
            tell_queue_option(exc)
            raise
        session.say_parts_away()
        if session.away:
            ctx.exit(1)
        return answer


def _end_unwritten(exc: OSError) -> NoReturn:
    """End where standard output cannot be written; what is left in its buffer is not tried again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if exc.errno != errno.EPIPE:  # as of `| head -1`
        print_line(f"Error: standard output cannot be written: {exc.strerror}", err=True)
    sys.exit(1)


def _complete_queue(context: click.Context, parameter: click.Parameter, text: str) -> Any:
    from vwo_celery.cli.shared.completing import complete_queue

    return complete_queue(context, parameter, text)


queue_option = click.option(
    "--queue", "queues", multiple=True, metavar="QUEUE", shell_complete=_complete_queue,
    help="Only this queue; may be repeated.",
)  # fmt: skip
