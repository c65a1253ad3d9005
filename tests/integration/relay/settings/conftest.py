"""VWO with settings of an account, a relay in front of it, and the age of the copies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tools.relays import ACCOUNT, KEY, RelayServer, relaying
from tools.settings_files import make_older
from vwo_celery.testing import Standin


@pytest.fixture
def documents(captures: Path) -> dict[str, Any]:
    """Settings of each generation."""
    names = {"settings": "settings_legacy", "fme_settings": "settings_fme"}
    return {
        name: json.loads((captures / f"{file}.json").read_text("utf-8"))
        for name, file in names.items()
    }


@pytest.fixture
def vwo(documents: dict[str, Any]) -> Iterator[Standin]:
    """VWO, with settings of the account."""
    with Standin(accounts={ACCOUNT: KEY}, **documents) as standin:
        yield standin


@pytest.fixture
def relay(redis_url: str, vwo: Standin) -> Iterator[RelayServer]:
    """A relay that takes everybody's requests, in front of it."""
    with relaying(redis_url, relay_upstream=vwo.url) as relay:
        yield relay


@pytest.fixture
def age(redis: redis_py.Redis, vwo: Standin) -> Callable[..., None]:
    """Make the copies of the account older, by Redis' time."""
    return lambda by_ms: make_older(redis, vwo, by_ms)
