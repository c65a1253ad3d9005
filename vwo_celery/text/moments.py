"""Moments in messages: since when something is so, by the clock on the wall and as a span.

Pure but for this host's clock and zone: nothing to lose.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from vwo_celery.text.amounts import span

#: Age from which a moment is told with its date.
_WITH_DATE_SECONDS = 86_400.0


def since(age_seconds: float) -> str:
    """Spell since when something is so, such as "since 14:27:10 (3 min)", in this host's zone."""
    began = datetime.now().astimezone() - timedelta(seconds=age_seconds)
    form = "%Y-%m-%d %H:%M" if age_seconds >= _WITH_DATE_SECONDS else "%H:%M:%S"
    return f"since {began.strftime(form)} ({span(age_seconds)})"
