"""`celery -A yourapp vwo …`: the operator's command, with the settings of your Celery app.

Celery finds it by the entry point `celery.commands`, and loads it whatever is typed: so `celery
inspect` and `celery control` learn our commands here. Translates nothing: the commands are those of
`vwo-celery`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from vwo_celery.celery.setup import settings_of
from vwo_celery.cli import Commands
from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.session import Session, common_options, json_option

_APP_OPTIONS = ("-A", "--app")
_REMOTE_CONTROL = {"inspect", "control"}


def learn_remote_control(words: Sequence[str]) -> None:
    """Have `celery inspect` and `celery control` know our commands, if one of them is typed.

    An app whose tasks are found by `autodiscover_tasks()`, as in Django, is not set up there.
    """
    if _REMOTE_CONTROL.intersection(words):
        import vwo_celery.celery.control  # noqa: F401  it registers the commands


learn_remote_control(sys.argv)


class CeleryCommands(Commands):
    """Our commands, beneath Celery's own command, which knows no JSON."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; with --json an error is a JSON document, as without Celery."""
        session = ctx.ensure_object(Session)
        session.door, session.command = "celery", typed_in(sys.argv)
        try:
            return super().invoke(ctx)
        except click.ClickException as exc:
            if not session.json:
                raise
            print_json({"error": exc.format_message()})
            ctx.exit(exc.exit_code)


def typed_in(words: Sequence[str]) -> str:
    """What leads to our commands in this command line of Celery's, such as "celery -A shop vwo"."""
    app = ""
    for i, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in _APP_OPTIONS:
            app = value or next(iter(words[i + 1 :]), "")
    return f"celery -A {app} vwo" if app else "celery vwo"


@click.group("vwo", cls=CeleryCommands)
@common_options
@json_option
@click.pass_context
def vwo(context: click.Context) -> None:
    """Look at and steer the queues that VWO's events wait in: all commands of vwo-celery.

    The settings are those of your app's workers: as given to vwo_celery.setup, else Django's.
    """
    parent: Any = context.parent.obj if context.parent is not None else None
    app = getattr(parent, "app", None)
    if app is not None:
        session = context.ensure_object(Session)
        _ = app.conf.broker_url  # reads the app's configuration: that of Django is only then read
        session.app_settings, session.celery_app = settings_of(app), app
