"""`celery -A yourapp vwo …`: the operator's command, with the settings of your Celery app.

Celery finds it by the entry point `celery.commands`. Translates nothing: the commands are those of
`vwo-celery`.
"""

from __future__ import annotations

from typing import Any

import click

from vwo_celery.celery.setup import settings_of
from vwo_celery.cli import Commands
from vwo_celery.cli.session import Session, common_options, json_option


@click.group("vwo", cls=Commands)
@common_options
@json_option
@click.pass_context
def vwo(context: click.Context) -> None:
    """Look at and steer the queues that VWO's events wait in: all commands of vwo-celery.

    The settings are those that your app gave to vwo_celery.setup.
    """
    parent: Any = context.parent.obj if context.parent is not None else None
    app = getattr(parent, "app", None)
    if app is not None:
        session = context.ensure_object(Session)
        session.app_settings, session.celery_app = settings_of(app), app
