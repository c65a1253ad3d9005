"""The tutorial comes true when its blocks are typed, in their order, into an empty folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import type_tutorial
import vwo_celery


def test_the_tutorial_comes_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From "Start what development needs" on, with the package that is tested; PyPI is not asked."""
    for name in [name for name in os.environ if name.startswith("VWO_CELERY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(Path(vwo_celery.__file__).parents[1]))

    minutes = type_tutorial.read(tmp_path, installed=True)

    assert minutes < type_tutorial.PROMISED_MINUTES
