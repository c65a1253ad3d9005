"""A whole installation for a test: real Redis, real workers, VWO's stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tools.installation import Installation
from vwo_celery.testing import Standin


@pytest.fixture
def installation(
    redis: redis_py.Redis, redis_url: str, standin: Standin, tmp_path: Path, declared_keys: Any
) -> Iterator[Installation]:
    """An installation without workers; a test starts those it needs."""
    declared_keys("watched", "broker:*", "slots")
    made = Installation(redis_url, standin, tmp_path)
    try:
        yield made
    finally:
        made.stop()
