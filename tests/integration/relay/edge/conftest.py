"""A relay with its real bounds, in each event loop, for clients on raw sockets.

The tests here also hold our subclass of uvicorn's protocol against each of its releases.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tools.relays import RelayServer, relaying

LOOPS: Final = ("uvloop", "asyncio")


@pytest.fixture(params=LOOPS)
def relay(request: pytest.FixtureRequest, redis_url: str) -> Iterator[RelayServer]:
    """A relay with its real bounds, in each event loop."""
    with relaying(redis_url, loop=request.param, relay_events_per_request=5000) as running:
        yield running
