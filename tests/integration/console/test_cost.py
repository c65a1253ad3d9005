"""What a console costs Redis, by Redis' own count of commands: many visitors cost what one costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tools.queue_states import Queues, waiting_and_dead
from tools.visiting import Browser
from vwo_celery.console.shared import sources

VISITORS = 20
SECONDS = 5
#: Polls of each visitor a second.
POLLS = 2
#: The script that looks at a shard; nothing else of a console runs one.
LOOK = "evalsha"


@pytest.fixture(scope="module")
def queues() -> Iterator[Queues]:
    """A queue with waiting events and a dead letter, on a Redis that nobody else asks."""
    with waiting_and_dead() as queues:
        yield queues


def commands(queues: Queues) -> Counter[str]:
    """How often Redis ran each command so far."""
    found = queues.client.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): each["calls"] for name, each in found.items()})


def poll(queues: Queues, path: str, visitors: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What visitors of one console cost who ask for a page through a played while, all at once."""
    now = [1_000.0]
    monkeypatch.setattr(sources, "monotonic", lambda: now[0])
    browser = Browser(queues.settings)
    assert browser.get(path).status == 200  # connects, and looks once
    before = commands(queues)
    with ThreadPoolExecutor(visitors) as threads:
        for _ in range(SECONDS * POLLS):
            now[0] += 1 / POLLS
            answers = threads.map(lambda _: browser.get(path), range(visitors))
            assert {answer.status for answer in answers} == {200}
    return commands(queues) - before


@pytest.mark.parametrize(
    "path", ["workers", "settings", "about", "api/v1/status", "api/v1/scale", "api/v1/findings"]
)
def test_many_visitors_cost_what_one_costs(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Whoever watches, Redis is asked once a second: no command runs more often for twenty."""
    alone = poll(queues, path, 1, monkeypatch)

    together = poll(queues, path, VISITORS, monkeypatch)

    assert together == alone
    assert together[LOOK] <= (2 * SECONDS if path == "workers" else SECONDS + 1) + 5


@pytest.mark.parametrize("path", ["", "dead", "queues/{queue}"])
def test_many_visitors_cost_one_look_a_second(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A page that also reads what is its own looks at the queues once a second all the same."""
    (queue,) = queues.registered

    together = poll(queues, path.format(queue=queue), VISITORS, monkeypatch)

    doctor = 2  # a look of its own whether Redis takes writes, each five seconds
    assert SECONDS <= together[LOOK] <= SECONDS + 1 + doctor
