"""A spool of a megabyte, the folder where it will be, and the drops that receivers hear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.drops import Drops, heard_drops
from tools.spools import open_spool
from vwo_celery.spool.spool import Spool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the spool, which does not exist yet."""
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    """A spool of a megabyte."""
    spool = open_spool(folder)
    yield spool
    spool.close()


@pytest.fixture
def drops() -> Iterator[Drops]:
    """Those of the test."""
    with heard_drops() as heard:
        yield heard
