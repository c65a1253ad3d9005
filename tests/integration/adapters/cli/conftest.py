"""The operator's command on this test's Redis, or on none, on a terminal of any width."""

from __future__ import annotations

import os

import pytest
from click.testing import Result

from tools.command_line import Run, run_command


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, without settings from this machine's environment."""
    for name in [name for name in os.environ if name.startswith("VWO_CELERY_")]:
        monkeypatch.delenv(name)

    def run(*words: str, width: int = 120, text: str | None = None) -> Result:
        monkeypatch.setenv("COLUMNS", str(width))
        return run_command(words, text)

    return run


@pytest.fixture
def run(bare: Run, redis_url: str) -> Run:
    """Run the command on this test's Redis."""
    return lambda *words, **options: bare("--redis-url", redis_url, *words, **options)
