"""The drops that receivers of our signals hear."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.drops import Drops, heard_drops


@pytest.fixture
def drops() -> Iterator[Drops]:
    """Those of the test."""
    with heard_drops() as heard:
        yield heard
