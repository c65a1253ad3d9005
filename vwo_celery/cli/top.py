"""`vwo-celery top`: the fleet in a terminal that stays open, until q; see `vwo_celery.top`."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec

import click

from vwo_celery.cli.looks.doctor import look_at
from vwo_celery.cli.shared.session import Session, common_options
from vwo_celery.operating.past.audit import actor_of_cli
from vwo_celery.queue.parts import describe_away

#: Time between two looks, in seconds: by default, and the shortest and the longest.
_TURN_SECONDS, _SHORTEST_SECONDS, _LONGEST_SECONDS = 2.0, 0.5, 10.0
#: What shows the same without textual.
_INSTEAD = "vwo-celery status --watch shows the queues without it"


@click.command()
@click.option(
    "--operate", is_flag=True,
    help="Have the keys that change something, too: flush, pause, resume, redrive, purge.",
)  # fmt: skip
@click.option(
    "--refresh", "seconds", type=click.FloatRange(_SHORTEST_SECONDS, _LONGEST_SECONDS),
    default=_TURN_SECONDS, metavar="SECONDS",
    help=f"Time between two looks, {_SHORTEST_SECONDS} to {_LONGEST_SECONDS:g}.  [default: "
    f"{_TURN_SECONDS:g}]",
)  # fmt: skip
@click.option(
    "-A", "--app", metavar="APP", default="",
    help="Your Celery app, as `celery -A` takes it; needed only where it connects to the broker in "
    "a way of its own.",
)  # fmt: skip
@common_options
@click.pass_context
def top(context: click.Context, *, operate: bool, seconds: float, app: str) -> None:
    """Watch the fleet in this terminal: verdict and remedies, the last hour, queues, events.

    Keys are at the bottom, and all of them under "?". Without --operate nothing can be changed. While
    Redis does not answer, the last numbers stay, with since when and why, and it goes on by itself.
    Needs the extra [tui].
    """
    _check_installed()
    _check_terminal()
    from vwo_celery.top.app import Top
    from vwo_celery.top.looking.watching import Source

    session = context.ensure_object(Session)
    source = Source(
        settings=session.settings,
        open_fleet=session.open_fleet,
        tell_away=lambda: tuple(describe_away(part, time.time()) for part in session.away),
        look_at_broker=lambda settings: look_at(settings, app or session.celery_app),
        actor=actor_of_cli("top"),
    )
    screen = Top(source, seconds=seconds, operate=operate)
    screen.run()
    session.away = ()  # told on the screen
    context.exit(screen.return_code or 0)


def _check_installed() -> None:
    if find_spec("textual") is None:
        raise click.ClickException(
            "top needs textual, not installed here: pip install 'textual>=8', or install this package "
            f"with its extra [tui]; {_INSTEAD}"
        )


def _check_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.ClickException(f"top needs a terminal; {_INSTEAD}")
