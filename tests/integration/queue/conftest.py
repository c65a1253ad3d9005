"""The drops that receivers of our signals hear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vwo_celery.signals import event_dropped


@pytest.fixture
def drops() -> Iterator[list[tuple[str, str, int]]]:
    """Calls of event_dropped's receivers, as (queue, reason, count)."""
    heard: list[tuple[str, str, int]] = []

    def note(sender: str, queue: str, reason: str, count: int, **_: Any) -> None:
        assert sender == queue
        heard.append((queue, reason, count))

    event_dropped.connect(note)
    yield heard
    event_dropped.disconnect(note)
