"""Record what a scrape tells during a rolling deploy: `PYTHONPATH=.:tests python -m tools.record_deploy`.

Two workers and a beat deliver a steady stream of events; then each worker is replaced by a new one, and
beat is restarted. The series become tests/data/rolling_deploy.json, on which
no alert may fire. Run it anew when a metric is added that an alert asks for.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import yaml

from tools.installation import Installation, event
from vwo_celery.connections import open_client
from vwo_celery.metrics import exposition
from vwo_celery.queue.fleet import Fleet
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer, Standin

ROOT = Path(__file__).parents[2]
FILE = ROOT / "tests" / "data" / "rolling_deploy.json"
INTERVAL_SECONDS = 5
#: Time in which the fleet gets going before the first scrape.
BEFORE_SECONDS = 15
#: A replacement every so many scrapes.
STEP = 12
#: Fields of a sample line.
_LINE = re.compile(r"(?P<series>\w+(\{.*\})?) (?P<value>\S+)")


@cache
def asked_for() -> frozenset[str]:
    """The metrics that alerts ask for."""
    rules = yaml.safe_load((ROOT / "compose" / "alerts.yaml").read_text("utf-8"))
    return frozenset(re.findall(r"vwo_celery_\w+", json.dumps(rules)))


def scrape(fleet: Fleet, settings: Settings) -> dict[str, str]:
    """The value of each series that an alert asks for."""
    text = exposition(fleet, settings)[0].decode()
    lines = (_LINE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
    wanted = asked_for()
    found = {line["series"]: line["value"] for line in lines if line}
    return {each: value for each, value in found.items() if each.partition("{")[0] in wanted}


def record(scrapes: list[dict[str, str]], began: float) -> str:
    """The recorded series in promtool's notation, with times that begin at 0."""
    names = sorted({name for each in scrapes for name in each})
    series = {}
    for name in names:
        values = [each.get(name, "_") for each in scrapes]
        if "timestamp" in name:
            values = [v if v == "_" else f"{float(v) - began:.1f}" for v in values]
        series[name] = " ".join(values)
    minutes = (len(scrapes) - 1) * INTERVAL_SECONDS // 60
    document = {"interval": f"{INTERVAL_SECONDS}s", "minutes": minutes, "series": series}
    return json.dumps(document, indent=1) + "\n"


def deploy(installation: Installation) -> list[Callable[[], object]]:
    """The steps of a deploy, one after the other."""
    start, started = installation.worker, installation.started
    return [
        lambda: start(name="new1"),
        started[0].stop,
        lambda: start(name="new2"),
        started[1].stop,
        started[2].stop,
        lambda: installation.beat("new-beat"),
    ]


def main() -> None:
    """Record a deploy of some minutes."""
    asked_for()
    folder = Path(tempfile.mkdtemp(prefix="vwo-celery-deploy-"))
    with RedisServer() as server, Standin() as standin:
        installation = Installation(server.url, standin, folder)
        settings = Settings(redis_url=server.url)
        fleet = Fleet(open_client(server.url, timeout_seconds=5), settings.namespace)
        queue = installation.connect(events_per_request=50, request_time_interval=10)
        ended = threading.Event()

        def enqueue() -> None:
            while not ended.wait(0.2):
                queue.enqueue_many([event("a"), event("b")])

        threading.Thread(target=enqueue, daemon=True).start()
        installation.worker(name="old1")
        installation.worker(name="old2")
        installation.beat()
        ended.wait(BEFORE_SECONDS)
        began, scrapes, steps = time.time(), [], deploy(installation)
        for number in range(STEP * (len(steps) + 2)):
            ended.wait(max(0.0, began + number * INTERVAL_SECONDS - time.time()))
            scrapes.append(scrape(fleet, settings))
            if steps and number and number % STEP == 0:
                threading.Thread(target=steps.pop(0)).start()
        ended.set()
        installation.stop()
    FILE.write_text(record(scrapes, began), encoding="utf-8")
    sys.stdout.write(f"{len(scrapes)} scrapes\n")


if __name__ == "__main__":
    main()
