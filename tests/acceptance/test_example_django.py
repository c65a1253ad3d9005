"""examples/django as deployed: gunicorn with forked workers, Celery, beat; VWO is the stand-in."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tools.processes import Process, Processes
from tools.visitors import Visitors
from vwo_celery.event_kinds import visitor_id
from vwo_celery.testing import Standin, free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "django"
ACCOUNT_ID = 888888
PER_REQUEST = 50
PASSWORD = "a password of the test"
CONSOLE = "vwo_celery/eventqueue/"
WEB_WORKERS = 3

pytestmark = pytest.mark.declared_keys("watched", "slots")


class Shop:
    """The example's programs on one Redis."""

    def __init__(self, redis_url: str, standin: Standin, folder: Path) -> None:
        self.standin = standin
        env = {
            "SHOP_REDIS_URL": redis_url,
            # Its own database, since Celery leaves keys there.
            "SHOP_BROKER_URL": redis_url.removesuffix("/0") + "/1",
            "SHOP_DATABASE": str(folder / "shop.sqlite3"),
            "SHOP_EVENTS_PER_REQUEST": str(PER_REQUEST),
            "SHOP_REQUEST_TIME_INTERVAL": "600",
            "VWO_PROXY_URL": standin.url,
            # The machine may be busy with other tests.
            "VWO_CELERY_ENQUEUE_TIMEOUT_SECONDS": "10",
        }
        self._programs = Processes(folder, env=env, cwd=EXAMPLE)
        self._folder = folder

    def start(self) -> None:
        """Start it, and return once the shop answers."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.visitors = Visitors(self.url)
        assert self.manage("migrate", "--verbosity=0").wait() == 0
        self.web = self._programs.start(
            "python", "-m", "gunicorn", "shop.wsgi", "--preload", "--bind", f"127.0.0.1:{port}",
            "--workers", str(WEB_WORKERS), "--threads=2", name="gunicorn",
        )  # fmt: skip
        celery = ("python", "-m", "celery", "-A", "shop")
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

    def manage(self, *words: str, **env: str) -> Process:
        """Start a command of manage.py."""
        name = f"manage-{words[0]}"
        return self._programs.start("python", "manage.py", *words, name=name, **env)

    def flush(self) -> None:
        """Return once every enqueued event is delivered."""
        command = self.manage("vwo_celery", "flush", "--wait", "20")
        assert command.wait(30) == 0, command.log()

    def visited(self) -> Counter[str]:
        """The number of events that VWO received per visitor, by VWO's visitor id."""
        return Counter(event["d"]["visId"] for event in self.standin.events)

    def stop(self) -> None:
        """End all programs."""
        self._programs.stop()


@pytest.fixture
def shop(redis_url: str, tmp_path: Path) -> Iterator[Shop]:
    """The example, running."""
    settings = json.loads((EXAMPLE / "vwo_settings.json").read_text("utf-8"))
    with Standin(settings=settings) as standin:
        shop = Shop(redis_url, standin, tmp_path)
        try:
            shop.start()
            yield shop
        finally:
            shop.stop()


def test_forked_web_workers_share_one_queue(shop: Shop) -> None:
    """Each visitor's event is delivered once, in as few requests as possible."""
    names = [f"visitor-{number}" for number in range(620)]

    answers: list[requests.Response] = shop.visitors.each(
        lambda name: shop.visitors.get(f"/checkout/{name}"), names
    )
    shop.flush()

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["process"] for answer in answers}) > 1
    assert {answer.json()["button"] for answer in answers} == {"blue", "red"}
    assert shop.visited() == {visitor_id(ACCOUNT_ID, name): 1 for name in names}
    assert len(shop.standin.batches) <= math.ceil(len(names) / PER_REQUEST) + 2


def test_vwo_hears_only_of_what_was_committed(shop: Shop) -> None:
    """An event of a transaction that is rolled back is never sent; the others are sent once."""
    cards = {f"buyer-{number}": "good" if number % 2 else "refused" for number in range(40)}

    answers: list[requests.Response] = shop.visitors.each(
        lambda name: shop.visitors.post(f"/buy/{name}", card=cards[name]), cards
    )
    shop.flush()

    statuses = dict(zip(cards, (answer.status_code for answer in answers), strict=True))
    assert statuses == {name: 201 if cards[name] == "good" else 402 for name in cards}
    bought = [name for name in cards if cards[name] == "good"]
    assert shop.visited() == {visitor_id(ACCOUNT_ID, name): 1 for name in bought}
    orders = {event["d"]["event"]["props"]["order"] for event in shop.standin.events}
    assert orders == {answer.json()["order"] for answer in answers} - {None}


class Staff:
    """Somebody who is logged in to the shop's admin with a browser."""

    def __init__(self, shop: Shop) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of this machine's is none of ours
        self._admin = f"{shop.url}/admin/"
        self.get("login/")
        self.post("login/", username="ana", password=PASSWORD, next="/admin/")

    def get(self, path: str) -> requests.Response:
        """Look at a page below the admin."""
        return self._session.get(self._admin + path, timeout=30)

    def post(self, path: str, **fields: str) -> requests.Response:
        """Send a form there."""
        fields["csrfmiddlewaretoken"] = self._session.cookies["csrftoken"]
        return self._session.post(self._admin + path, data=fields, timeout=30)


def test_staff_steer_the_queue_in_the_admin(shop: Shop) -> None:
    """The shop's admin shows the queue, pauses it, and resumes it; what waited meanwhile is delivered."""
    env = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    words = ("createsuperuser", "--noinput", "--username=ana", "--email=ana@example.com")
    assert shop.manage(*words, **env).wait() == 0
    shop.visitors.get("/checkout/before")
    staff = Staff(shop)
    (queue,) = staff.get(f"{CONSOLE}api/v1/queues").json()

    page = staff.get(CONSOLE)
    paused = staff.post(f"{CONSOLE}do/pause", queues=queue["queue"], reason="a look at the admin")
    shop.visitors.get("/checkout/meanwhile")
    (held,) = staff.get(f"{CONSOLE}api/v1/queues").json()
    resumed = staff.post(f"{CONSOLE}do/resume", queues=queue["queue"])
    shop.flush()

    assert [each.status_code for each in (page, paused, resumed)] == [200, 200, 200]
    assert queue["queue"] in page.text
    assert (held["stopped"]["by"], held["stopped"]["why"]) == ("operator", "a look at the admin")
    assert held["stopped"]["who"] == "ana on 127.0.0.1"
    assert set(shop.visited()) == {visitor_id(ACCOUNT_ID, name) for name in ("before", "meanwhile")}
    assert staff.get("../static/admin/css/base.css").status_code == 200
