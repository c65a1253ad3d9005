"""pytest's plugin of vwo_celery: fixtures for tests of applications that enqueue events for VWO.

pytest loads it by itself wherever vwo_celery is installed, so it stands outside of that package and
imports nothing of it before a test asks for a fixture. docs/how-to/test-your-code.md shows its use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vwo_celery.testing import Capture, InlineDelivery, Standin

_ALWAYS = "vwo_capture_always"
_REDIS_URL = "vwo_test_redis_url"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of pytest's own configuration file."""
    parser.addini(
        _ALWAYS,
        "true: no event leaves this process during the whole run, not even in tests without vwo_events",
        type="bool",
        default=False,
    )
    parser.addini(
        _REDIS_URL,
        "the Redis of vwo_inline, which keeps what it stores under a name of its own and deletes it; "
        "without it, one is started for the run",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Capture from now on, before any module of the application is imported, if that is wanted."""
    if config.getini(_ALWAYS):
        from vwo_celery.testing import capture_events

        stack = ExitStack()
        config.add_cleanup(stack.close)
        stack.enter_context(capture_events(keep=False))


@pytest.fixture
def vwo_events() -> Iterator[Capture]:
    """The events that this process enqueues in the test, captured; neither Redis nor disk is touched."""
    from vwo_celery.testing import capture_events

    with capture_events() as events:
        yield events


@pytest.fixture
def vwo_collector(vwo_collector_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    """A stand-in for VWO on loopback: serves settings, takes batches, and fails as it is told to."""
    from vwo_celery.testing import Standin

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1", prepend=",")
    with Standin(port=vwo_collector_port) as collector:
        yield collector


@pytest.fixture(scope="session")
def vwo_collector_port() -> int:
    """The port of every `vwo_collector`: an SDK keeps one client for the run, and with it an address."""
    from vwo_celery.testing import free_port

    return free_port()


@pytest.fixture
def vwo_inline(vwo_redis_url: str, vwo_collector: Standin) -> Iterator[InlineDelivery]:
    """Delivers to `vwo_collector` what this process enqueues in the test, whenever it is told to."""
    from vwo_celery.testing import inline_delivery

    with inline_delivery(vwo_redis_url, vwo_collector) as inline:
        yield inline


@pytest.fixture(scope="session")
def vwo_redis_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """URL of a real Redis for the run: the one of the option, or one that ends with the run."""
    from vwo_celery.testing import RedisServer, RedisServerMissing

    given = str(pytestconfig.getini(_REDIS_URL))
    if given:
        yield given
        return
    with ExitStack() as stack:
        try:
            server = stack.enter_context(RedisServer())
        except RedisServerMissing as exc:
            pytest.fail(f"{exc}; or name a Redis: {_REDIS_URL} = redis://…", pytrace=False)
        yield server.url
