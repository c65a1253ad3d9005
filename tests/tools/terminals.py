"""`vwo-celery top` in a terminal that only a test sees: driven by keys, read as text."""

from __future__ import annotations

import asyncio
import html
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from textual.pilot import Pilot

from tools.waiting import wait_until
from vwo_celery import Settings
from vwo_celery.cli.shared.session import Session
from vwo_celery.clocks import monotonic
from vwo_celery.operating.doctor import BrokerFacts
from vwo_celery.operating.past.audit import Actor
from vwo_celery.top.app import Top
from vwo_celery.top.looking.watching import Source

#: Who presses the keys.
OPERATOR: Final = Actor("alice", "top", "ops1")
WIDE: Final = (120, 32)
SMALL: Final = (80, 24)
#: Time within which a screen shows what is expected.
_DEADLINE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_LETTER_WIDTH: Final = 12.2
_TEXT = re.compile(r'<text class="([^"]*)" x="([\d.]+)"[^>]*line-(\d+)\)">(.*?)</text>', re.DOTALL)
_STYLE = re.compile(r"\.[\w-]+-(r\d+) \{([^}]*)\}")


def source_of(redis_url: str) -> Source:
    """What `top` is given for the queues of a test; Celery's broker is not asked."""
    session = Session()
    session.redis_url = redis_url
    return Source(
        settings=session.settings,
        open_fleet=session.open_fleet,
        tell_away=lambda: (),
        look_at_broker=_broker,
        actor=OPERATOR,
    )


def _broker(settings: Settings) -> BrokerFacts:
    return BrokerFacts(url=settings.redis_url, unchecked="the test has none")


def drawn(svg: str) -> list[dict[int, tuple[str, str]]]:
    """What a picture of a terminal shows: of each line, the texts with their styles by their columns."""
    styles = {name: style.strip() for name, style in _STYLE.findall(svg)}
    lines: list[dict[int, tuple[str, str]]] = []
    for name, x, line, text in _TEXT.findall(svg):
        while len(lines) <= int(line):
            lines.append({})
        column = round(float(x) / _LETTER_WIDTH)
        shown = html.unescape(text).replace("\xa0", " ")
        lines[int(line)][column] = shown, styles.get(name.rpartition("-")[2], "")
    return lines


def text_of(svg: str) -> str:
    """The letters that a picture of a terminal shows."""
    rows = []
    for line in drawn(svg):
        row = ""
        for column in sorted(line):
            row = row.ljust(column) + line[column][0]
        rows.append(row.rstrip())
    return "\n".join(rows)


class Terminal:
    """A running `top`."""

    def __init__(self, app: Top, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot

    @property
    def svg(self) -> str:
        """A picture of what is shown."""
        return self.app.export_screenshot()

    @property
    def text(self) -> str:
        """What is shown."""
        return text_of(self.svg)

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self._pilot.press(*keys)

    async def resize(self, width: int) -> None:
        """Make it as wide as that."""
        await self._pilot.resize_terminal(width, self.app.size.height)
        await self._pilot.pause()

    async def until(self, shown: str | Callable[[], Any]) -> str:
        """Wait until a text is shown, or something is true; what is shown then."""
        deadline = monotonic() + _DEADLINE_SECONDS
        while not (shown in self.text if isinstance(shown, str) else shown()):
            assert monotonic() < deadline, f"not shown: {shown!r}\n{self.text}"
            await self._pilot.pause(_POLL_SECONDS)
        return self.text


@asynccontextmanager
async def _terminal(
    source: Source, *, size: tuple[int, int], operate: bool, seconds: float
) -> AsyncIterator[Terminal]:
    app = Top(source, seconds=seconds, operate=operate)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield Terminal(app, pilot)


def in_terminal(
    source: Source,
    use: Callable[[Terminal], Awaitable[None]],
    *,
    size: tuple[int, int] = WIDE,
    operate: bool = True,
    seconds: float = 0.5,
) -> None:
    """Start `top`, use it, and end it with all of its threads."""

    async def run() -> None:
        async with _terminal(source, size=size, operate=operate, seconds=seconds) as terminal:
            await use(terminal)

    asyncio.run(run())
    wait_until(_no_thread_left, _DEADLINE_SECONDS, what="end of top's threads")


def _no_thread_left() -> bool:
    return not any(each.name.startswith("top-") for each in threading.enumerate())
