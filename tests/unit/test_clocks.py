"""The clocks by which waits are measured."""

from __future__ import annotations

from freezegun import freeze_time

from vwo_celery.clocks import monotonic, unix_ms


def test_the_clocks_run_though_a_test_freezes_time() -> None:
    """Neither stands still under freezegun, also where it replaces what modules hold."""
    now_ms = unix_ms()

    with freeze_time("2012-01-14"):
        before = monotonic()
        moved = any(monotonic() > before for _ in range(1_000_000))
        frozen_ms = unix_ms()

    assert moved
    assert frozen_ms >= now_ms
