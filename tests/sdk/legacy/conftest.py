"""Legacy clients: several in one process, each with its own dispatcher, or one in an application."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
import vwo
from vwo.constants import constants

from sdk.applications import Told, run_application
from vwo_celery.testing import Standin

_PRELUDE = """\
import vwo
from vwo.constants import constants
constants.HTTPS_PROTOCOL = "http://"
constants.ENDPOINTS.BASE_URL = F["netloc"]
SETTINGS = json.dumps(F["settings"])
"""


@pytest.fixture
def settings(capture: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The settings that the captures were made with."""
    return capture("settings_legacy")


@pytest.fixture
def launch(
    settings: dict[str, Any], standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Launch a client that would send to the stand-in; batching is on unless given otherwise.

    Keywords are those of vwo.launch, except `changed` and `batch_events`.
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


@pytest.fixture
def application(
    standin: Standin, redis_url: str, settings: dict[str, Any], tmp_path: Path
) -> Callable[..., Told]:
    """Run code in its own process, with SETTINGS, and the names of every application.

    Clients that it launches would send to the stand-in. The code must let the process end: events
    on the SDK's own queue keep it alive for the interval, 600 seconds unless given otherwise.
    """

    def run(*pieces: str, exit_code: int = 0, **facts: Any) -> Told:
        given = {"redis_url": redis_url, "netloc": standin.netloc, "settings": settings, **facts}
        return run_application(_PRELUDE, *pieces, folder=tmp_path, facts=given, exit_code=exit_code)

    return run
