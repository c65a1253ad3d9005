"""This release and the one before it, as it was shipped, and what runs of both on one Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.two_releases import Fleet
from upgrade.releases import Release, Stored, release_before, this_release
from vwo_celery.testing import Standin


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The release before this one, as shipped."""
    return release_before(tmp_path_factory.mktemp("release"))


@pytest.fixture
def this() -> Release:
    """The release under test."""
    return this_release()


@pytest.fixture(scope="session")
def stored_by_this(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Data that this release stores, in every state."""
    return this_release().store(tmp_path_factory.mktemp("stored") / "this.json")


@pytest.fixture
def fleet(redis_url: str, standin: Standin, tmp_path: Path) -> Iterator[Fleet]:
    """Both releases' programs; a test starts those it needs."""
    fleet = Fleet(redis_url, standin, tmp_path)
    try:
        yield fleet
    finally:
        fleet.stop()
