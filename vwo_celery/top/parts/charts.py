"""A chart with its words: what it is, its present value, since when, and how high. Nothing to lose."""

from __future__ import annotations

from rich.text import Text
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from vwo_celery.top.looking.series import Series
from vwo_celery.top.parts.bars import bars


class Chart(Widget):
    """Draws one series in as many columns as there are; the last one, bold, is the present."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name)
        self._series = Series("", (), "", None)

    def draw(self, series: Series) -> None:
        """Draw this from now on."""
        self._series = series
        self.refresh()

    def render(self) -> Text:
        """The rows of blocks, and the words in the border."""
        series, width, height = self._series, self.size.width, max(1, self.size.height)
        self.border_title = Content(f"{series.name}  now {series.now}")
        self.border_subtitle = Content(series.told(width))
        rows = bars(series.values[-width:], height) if width else []
        text = Text("\n").join(_row(row, width) for row in rows)
        text.no_wrap = True
        return text


def draw_all(screen: Screen[None], pair: tuple[Series, Series]) -> None:
    """Draw what is delivered and what waits in a screen's two charts."""
    for name, series in zip(("#rate", "#waiting"), pair, strict=True):
        screen.query_one(name, Chart).draw(series)


def _row(row: str, width: int) -> Text:
    text = Text(row.rjust(width))
    text.stylize("bold", max(0, width - 1), width)
    return text
