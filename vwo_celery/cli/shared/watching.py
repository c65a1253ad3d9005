"""A page that is printed again and again, in the same place, until Ctrl-C.

For `--watch`. A Redis that is away ends nothing: the last page stays, with since when it is away and
why. Where the output is no terminal, each page follows the one before. Looking changes nothing: nothing
to lose.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from vwo_celery.cli.shared.lines import to_show
from vwo_celery.cli.shared.output import console, print_page, recorded_page
from vwo_celery.cli.shared.session import Session
from vwo_celery.clocks import monotonic
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.doctor.connection import reason_of
from vwo_celery.text.masking import mask_url
from vwo_celery.text.moments import since


class _Watch:
    """One watch: its last page, and since when Redis is away."""

    def __init__(self, session: Session, show: Callable[[], object]) -> None:
        self._session = session
        self._show = show
        self._page: RenderableType = Text("")
        self._away_since: float | None = None

    def turn(self, out: Console) -> RenderableType:
        """Look once; the page, or the last one with what is wrong."""
        try:
            with recorded_page(out) as page:
                self._show()
        except QueueUnavailable as exc:
            return self._without_redis(exc)
        self._away_since = None
        at = datetime.now().astimezone().strftime("%H:%M:%S")
        self._page = Group(page(), Text(f"seen at {at}; Ctrl-C ends", "dim"))
        return self._page

    def _without_redis(self, exc: QueueUnavailable) -> RenderableType:
        now = monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        reason = reason_of(exc, lambda: self._session.fleet)
        url = mask_url(self._session.settings.redis_url)
        began = since(now - self._away_since)
        told = to_show(f"{url} cannot be used {began}: {reason.what.rstrip('.')}. {reason.remedy}")
        return Group(Text(told, "bold red"), self._page)


def watch_every(turn_seconds: float, session: Session, show: Callable[[], object]) -> None:
    """Show a page each *turn_seconds*, until Ctrl-C.

    Args:
        turn_seconds: Time between two looks.
        session: The command's session.
        show: Looks, and prints the page.
    """
    out, watch, never = console(), _Watch(session, show), threading.Event()
    with suppress(KeyboardInterrupt):
        if not out.is_terminal:
            while True:
                print_page(watch.turn(out))
                never.wait(turn_seconds)
        with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                live.update(watch.turn(out), refresh=True)
                never.wait(turn_seconds)
