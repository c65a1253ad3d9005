"""Legacy clients: several in one process, each with a dispatcher of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
import vwo
from vwo.constants import constants

from vwo_celery.testing import Standin


@pytest.fixture
def settings(capture: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The settings that the captures were made with."""
    return capture("settings_legacy")


@pytest.fixture
def launch(
    settings: dict[str, Any], standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Launches a client that would send to the stand-in; batching is on unless said otherwise.

    Keywords `changed` and `batch_events` apart, they are those of vwo.launch.
    """
    monkeypatch.setattr(constants, "HTTPS_PROTOCOL", "http://")
    monkeypatch.setattr(constants.ENDPOINTS, "BASE_URL", standin.netloc)

    def start(
        *,
        changed: Mapping[str, Any] = MappingProxyType({}),
        batch_events: Any = msgspec.UNSET,
        **options: Any,
    ) -> Any:
        if batch_events is msgspec.UNSET:
            batch_events = {"events_per_request": 100}
        client = vwo.launch(
            json.dumps({**settings, **changed}), batch_events=batch_events, **options
        )
        assert client is not None
        return client

    return start
