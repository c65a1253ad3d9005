"""Charts within a line of text: how much of something is used, and how something went lately.

Pure: nothing to lose. What they show stands beside them in words, so a screen reader skips them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from vwo_celery.console.charts.drawing import runs

_METER_WIDTH, _METER_HEIGHT = 64, 6
_SPARK_WIDTH, _SPARK_HEIGHT = 96, 22
#: Space that a sparkline's stroke needs above and below.
_MARGIN: Final = 2


def meter(share: float, style: str = "") -> Markup:
    """A bar of which a share, from 0 to 1, is filled; *style* is the class of its colour."""
    filled = _METER_WIDTH * min(max(share, 0.0), 1.0)
    return Markup(  # noqa: S704 - numbers and a class
        f'<svg class="meter" viewBox="0 0 {_METER_WIDTH} {_METER_HEIGHT}" '
        f'width="{_METER_WIDTH}" height="{_METER_HEIGHT}" aria-hidden="true">'
        f'<rect class="all" width="{_METER_WIDTH}" height="{_METER_HEIGHT}" rx="3"/>'
        f'<rect class="used {style}" width="{filled:.1f}" height="{_METER_HEIGHT}" rx="3"/></svg>'
    )


def spark(values: Sequence[float | None], style: str) -> Markup:
    """A line through these values, the lowest possible one 0; None is a gap."""
    highest = max((each for each in values if each is not None), default=0.0) or 1.0
    inner = _SPARK_HEIGHT - 2 * _MARGIN

    def point(place: int, value: float) -> str:
        x = _SPARK_WIDTH * place / max(1, len(values) - 1)
        return f"{x:.1f},{_MARGIN + inner * (1 - value / highest):.1f}"

    parts = [
        f"M{' '.join(point(at, values[at] or 0.0) for at in run)}{'h0' if len(run) == 1 else ''}"
        for run in runs(values)
    ]
    return Markup(  # noqa: S704 - numbers and a class
        f'<svg class="spark" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" width="{_SPARK_WIDTH}" '
        f'height="{_SPARK_HEIGHT}" aria-hidden="true"><path class="line {style}" '
        f'd="{"".join(parts)}"/></svg>'
    )
