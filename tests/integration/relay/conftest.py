"""What every test of the relay must leave behind: no relay that goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest


def telling() -> set[threading.Thread]:
    """The threads of relays that tell the fleet of themselves."""
    return {thread for thread in threading.enumerate() if thread.name == "vwo-celery-relay"}


@pytest.fixture(autouse=True)
def no_relay_is_left() -> Iterator[None]:
    """A relay that a test has not closed would go on telling the Redis of later tests."""
    before = telling()  # those of whole files
    yield
    assert not telling() - before
