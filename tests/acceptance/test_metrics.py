"""Metrics of a fleet that works: equal to the ledger and to what VWO counted, whoever is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from prometheus_client.parser import text_string_to_metric_families

import vwo_celery
from tools.installation import Installation, event
from tools.waiting import wait_until
from vwo_celery.connections import open_client
from vwo_celery.metrics import exposition
from vwo_celery.queue.fleet import Fleet
from vwo_celery.settings import Settings

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scraper:
    """A Prometheus of the test's: it scrapes, and notes each counter that fell."""

    def __init__(self, redis_url: str) -> None:
        self._settings = Settings(redis_url=redis_url)
        self.fell: list[str] = []
        self.last: Series = {}

    def scrape(self) -> Series:
        """One scrape, of an exporter that has just begun."""
        client = open_client(self._settings.redis_url, timeout_seconds=5)
        text = exposition(Fleet(client, self._settings.namespace), self._settings)[0].decode()
        client.close()
        counters: Series = {}
        for family in text_string_to_metric_families(text):
            if family.type in ("counter", "histogram"):
                for sample in family.samples:
                    counters[sample.name, frozenset(sample.labels.items())] = sample.value
        self.fell += [
            f"{key}: {value} -> {counters.get(key)}"
            for key, value in self.last.items()
            if counters.get(key, -1.0) < value
        ]
        self.last = counters
        return counters

    def total(self, name: str, **labels: str) -> float:
        """The sum over the series of a name with these labels, as last scraped."""
        return sum(
            value
            for (series, those), value in self.last.items()
            if series == f"vwo_celery_{name}" and labels.items() <= dict(those).items()
        )

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Scrape again and again during the block."""
        ended = Event()

        def work() -> None:
            while not ended.wait(0.1):
                self.scrape()

        thread = Thread(target=work, daemon=True)
        thread.start()
        yield
        ended.set()
        thread.join(20)
        self.scrape()


def enqueue(queue: vwo_celery.Queue, names: range) -> None:
    """Enqueue events of these names."""
    assert all(queue.enqueue_many([event(str(name)) for name in names]))


def test_metrics_equal_the_ledger_and_what_vwo_counted(installation: Installation) -> None:
    """After answers 503, 413 and a reset, each request, each batch and each event is counted once."""
    installation.worker()
    queue = installation.connect(events_per_request=10, request_time_interval=60)
    scraper = Scraper(installation.redis_url)
    installation.standin.fail(503, 413, "reset", 503)

    with scraper.meanwhile():
        enqueue(queue, range(100))
        wait_until(lambda: len(set(installation.delivered())) == 100, 30)
        wait_until(lambda: installation.snapshot(queue).delivered == 100, 30)

    sent = len(installation.standin.batches)
    ledger = installation.snapshot(queue)
    assert scraper.fell == []
    assert scraper.total("events_accepted_total") == ledger.accepted == 100
    assert scraper.total("events_delivered_total") == ledger.delivered == 100
    assert scraper.total("answers_total") == sent
    assert scraper.total("answers_total", answer="503") == 2
    assert scraper.total("answers_total", answer="413") == 1
    assert scraper.total("answers_total", answer="connection") == 1
    assert scraper.total("request_duration_seconds_count") == sent
    assert scraper.total("batch_events_count") == sent
    assert scraper.total("delivery_age_seconds_count") == scraper.total(
        "answers_total", answer="200"
    )


def test_no_counter_falls_when_a_worker_is_killed(installation: Installation) -> None:
    """Workers keep no number, and neither does whoever tells them: nothing goes when one of them does."""
    first = installation.worker(name="first", VWO_CELERY_LEASE_SECONDS="21")
    queue = installation.connect(events_per_request=10, request_time_interval=60)
    scraper = Scraper(installation.redis_url)

    with scraper.meanwhile():
        enqueue(queue, range(200))
        wait_until(lambda: installation.snapshot(queue).delivered >= 50, 30)
        first.kill()
        installation.worker(name="second")
        enqueue(queue, range(200, 300))
        wait_until(lambda: installation.snapshot(queue).delivered == 300, 60)

    assert scraper.fell == []
    assert scraper.total("events_delivered_total") == 300
    assert scraper.total("delivery_age_seconds_count") >= 30
