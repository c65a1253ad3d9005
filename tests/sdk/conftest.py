"""Fixtures of the tests of both SDK generations.

Both generations install a package called `vwo`: each has its own environment, and run.sh names it
in VWO_CELERY_SDK. Without that variable, as in the project's own environment, only the tests that
need no SDK are collected.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vwo_celery
from vwo_celery.connections import open_client
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.settings import Settings
from vwo_celery.testing import Standin

SDK = os.environ.get("VWO_CELERY_SDK", "")

collect_ignore = [folder for folder in ("fme", "legacy", "relay") if folder != SDK]
if not SDK:
    collect_ignore += ["common/test_sdk_celery.py", "common/test_sdk_testing.py"]
if SDK != "fme":
    collect_ignore.append("installing")  # it covers all SDKs, so one run is enough


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test the source tree instead of the wheel; ignore a warning of the SDK."""
    # The legacy SDK imports pkg_resources, which warns until setuptools 82, which removed it.
    config.addinivalue_line(
        "filterwarnings", "ignore:pkg_resources is deprecated:UserWarning:vwo.constants.constants"
    )
    if SDK and "site-packages" not in vwo_celery.__file__:
        raise pytest.UsageError(
            f"not the installed wheel but {vwo_celery.__file__} would be tested"
        )


@pytest.fixture
def capture(captures: Path) -> Callable[[str], dict[str, Any]]:
    """Load a recorded request, or the settings that the SDK used, by file name."""

    def load(name: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((captures / f"{name}.json").read_text("utf-8"))
        return loaded

    return load


class WakefulWorker(threading.Thread):
    """Deliver every batch it is woken for, with the real delivery and the real sender.

    It retries soon, and calls a flush_callback that is one of Python's own functions.

    Args:
        redis_url: The Redis to listen on.
        allowed_host: Host and port that it may send to besides VWO's.
    """

    def __init__(self, redis_url: str, allowed_host: str) -> None:
        super().__init__(daemon=True)
        self.fleet = Fleet(open_client(redis_url, timeout_seconds=5), "vwo")
        self._settings = Settings.load(
            redis_url=redis_url,
            allowed_hosts=(allowed_host,),
            callback_modules=("builtins",),
            backoff_base_seconds=0.1,
        )
        self._own_wakeups: deque[Wakeup] = deque()
        self._stopping = threading.Event()
        self.fleet.note_listener("worker of the tests")

    def run(self) -> None:
        """Listen until `stop`."""
        worker = Worker(self.fleet, self._settings, self._own_wakeups.append)
        while not self._stopping.is_set():
            wakeup = self.fleet.next_wakeup(0.1)
            if wakeup is not None:
                self._own_wakeups.append(wakeup)
            while self._own_wakeups:
                deliver(worker, self._own_wakeups.popleft())

    def stop(self) -> None:
        """Stop, and return once the thread has ended."""
        self._stopping.set()
        self.join()


@pytest.fixture
def worker(redis_url: str, standin: Standin) -> Iterator[WakefulWorker]:
    """A worker that listens, and may send to the stand-in."""
    thread = WakefulWorker(redis_url, standin.netloc)
    thread.start()
    yield thread
    thread.stop()
