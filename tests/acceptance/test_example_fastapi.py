"""examples/fastapi as deployed: uvicorn with two workers, Celery, beat; VWO is the stand-in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tools.processes import Processes
from tools.visitors import Visitors
from vwo_celery.testing import Standin, free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi"
PER_REQUEST = 50
WEB_WORKERS = 2

pytestmark = pytest.mark.declared_keys("watched", "slots")


class Shop:
    """The example's programs on one Redis."""

    def __init__(self, redis_url: str, standin: Standin, folder: Path) -> None:
        self.standin = standin
        env = {
            "VWO_CELERY_REDIS_URL": redis_url,
            # Its own database, since Celery leaves keys there.
            "VWO_CELERY_BROKER_URL": redis_url.removesuffix("/0") + "/1",
            "VWO_CELERY_ALLOWED_HOSTS": standin.netloc,
            "VWO_BASE_URL": standin.url,
            # The machine may be busy with other tests.
            "VWO_CELERY_ENQUEUE_TIMEOUT_SECONDS": "10",
            "SHOP_EVENTS_PER_REQUEST": str(PER_REQUEST),
            "SHOP_REQUEST_TIME_INTERVAL": "1",
        }
        self._programs = Processes(folder, env=env, cwd=EXAMPLE)
        self._folder = folder

    def start(self) -> None:
        """Start it, and return once the shop answers."""
        port = free_port()
        self.visitors = Visitors(f"http://127.0.0.1:{port}")
        self.web = self._programs.start(
            "python", "-m", "uvicorn", "shop:app", "--port", str(port),
            "--workers", str(WEB_WORKERS), name="uvicorn",
        )  # fmt: skip
        celery = ("python", "-m", "celery", "-A", "worker")
        self.worker = self._programs.start(
            *celery,
            "worker",
            "--concurrency=2",
            "--loglevel=INFO",
            "--without-mingle",
            name="worker",
        )
        self._programs.start(
            *celery, "beat", f"--schedule={self._folder / 'schedule'}", name="beat"
        )
        self.web.wait_for_port(port)
        self.worker.wait_for_log("ready.")

    def orders(self) -> Counter[int]:
        """The number of events that VWO received per order."""
        return Counter(event["d"]["event"]["props"]["order"] for event in self.standin.events)

    def stop(self) -> None:
        """End all programs."""
        self._programs.stop()


@pytest.fixture
def shop(redis_url: str, standin: Standin, tmp_path: Path) -> Iterator[Shop]:
    """The example, running."""
    shop = Shop(redis_url, standin, tmp_path)
    try:
        shop.start()
        yield shop
    finally:
        shop.stop()


def test_asyncio_web_workers_share_one_queue(shop: Shop) -> None:
    """Each order's event is delivered once, in about as few requests as possible."""
    orders = range(330)

    answers: list[requests.Response] = shop.visitors.each(
        lambda order: shop.visitors.post(f"/buy/visitor?order={order}"), orders
    )
    shop.worker.wait_until(lambda: len(shop.standin.events) >= len(orders), what="all events")

    assert {answer.json()["event"] for answer in answers} == {"redis"}
    assert len({answer.json()["process"] for answer in answers}) > 1
    assert shop.orders() == dict.fromkeys(orders, 1)
    assert len(shop.standin.batches) <= math.ceil(len(orders) / PER_REQUEST) + 4
