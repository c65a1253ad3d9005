"""FME applications, each in its own process: the SDK keeps one client per process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from sdk.applications import Told, run_application
from vwo_celery.testing import Standin


def _package() -> str:
    try:
        return version("vwo-fme-python-sdk") and "vwo-fme-python-sdk"
    except PackageNotFoundError:
        return "wingify-fme-python-sdk"


#: The installed package, and the init that it is for.
PACKAGE = _package()
BRAND = PACKAGE.partition("-")[0]
_PRELUDE = """\
OPTIONS, USER = F["options"], {"id": "user-1"}
"""


@pytest.fixture
def settings(capture: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The settings that the captures were made with."""
    return capture("settings_fme")


@pytest.fixture
def standin(settings: dict[str, Any]) -> Iterator[Standin]:
    """A stand-in for VWO that serves these settings."""
    with Standin(settings=settings) as standin:
        yield standin


@pytest.fixture
def application(
    standin: Standin, redis_url: str, settings: dict[str, Any], tmp_path: Path
) -> Callable[..., Told]:
    """Run code in its own process, with OPTIONS, USER, and the names of every application.

    The code must let the process end, unless it calls os._exit: a client without the shared queue
    polls for settings endlessly.
    """
    account = {"sdk_key": settings["sdkKey"], "account_id": settings["accountId"]}

    def run(*pieces: str, options: Mapping[str, Any] = {}, **facts: Any) -> Told:
        facts["redis_url"] = facts.get("redis_url", redis_url)
        facts["options"] = {**account, "proxy_url": standin.url, **options}
        return run_application(_PRELUDE, *pieces, folder=tmp_path, facts=facts)

    return run
