"""A check of the doctor that hangs is given up and told, and hides no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from vwo_celery.operating.doctor.finding import Finding, ok
from vwo_celery.operating.doctor.limits import in_time


def test_a_check_that_hangs_is_told() -> None:
    """What it found before is kept, and the last finding says that it did not go on."""
    end = threading.Event()
    watched: list[str] = []

    def check() -> Iterator[Finding]:
        yield ok("redis", "answers")
        end.wait()

    found = list(in_time("Redis", check, lambda what, _: watched.append(what), 0.05))
    end.set()

    assert [each.id for each in found] == ["", "VC191"]
    assert "Redis did not go on" in found[1].what
    assert set(watched) == {"Redis"}


def test_a_check_that_raises_raises() -> None:
    """An exception of a check is not taken for its end."""

    def check() -> Iterator[Finding]:
        yield ok("redis", "answers")
        raise KeyError("x")

    with pytest.raises(KeyError):
        list(in_time("Redis", check, lambda *_: None))
