"""One number is the same on a page, by a command in JSON and in words, in a metric and by the API.

A page is read as its visitor sees it: by the words in its tables.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from integration.metrics.test_metrics import bring_into_trouble, samples_of
from tools.command_line import document as printed
from tools.command_line import run_command
from tools.made_past import move_back, write_history
from tools.queue_states import Queues
from tools.visiting import Browser, document
from vwo_celery.queue.records.cards import Card, write_card
from vwo_celery.testing import RedisServer
from vwo_celery.text.amounts import span

#: So long ago everything happened, in seconds: words for it are the same for half a minute.
SINCE = 2 * 3600 + 30 * 60 + 2.0
#: An age may grow by so many seconds from one answer to the next.
SLOWEST = 20.0


class Told(NamedTuple):
    """One moment, as each door tells it.

    Attributes:
        command: Documents of `vwo-celery … --json`, by the command.
        words: What `vwo-celery status` prints: the columns of each queue's line, by its name.
        said: The lines above and below them.
        api: Documents of the API, by their paths.
        samples: Samples of `/metrics`: name and labels -> value.
        rows: Cells of the first page's list, by queue and column.
        places: "Where events are now" of the first page: number, and the words about it.
        page: The first page's text.
        workers: That of the page of workers.
        queue: That of the page of the busy queue.
    """

    command: Mapping[str, Any]
    words: Mapping[str, Mapping[str, str]]
    said: str
    api: Mapping[str, Any]
    samples: Mapping[Any, float]
    rows: Mapping[str, Mapping[str, str]]
    places: Mapping[str, tuple[int, str]]
    page: str
    workers: str
    queue: str

    def metric(self, name: str, **labels: str) -> float:
        """One sample's value."""
        return self.samples[f"vwo_celery_{name}", frozenset({"namespace": "vwo", **labels}.items())]

    def status(self, queue: str) -> Any:
        """The queue in the document of `status`."""
        return next(e for e in self.command["status"]["queues"] if e["queue"] == queue)


def text_of(markup: str) -> str:
    """What a visitor reads of a page, with one space between any two words."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def rows_of(page: str) -> dict[str, dict[str, str]]:
    """The cells of the list of queues, by queue and column."""
    found = {}
    for row in re.findall(r"<tr [^>]*data-row>.*?</tr>", page, re.DOTALL):
        (name,) = re.findall(r"data-open>([^<]*)</a>", row)
        cells = re.findall(r'<td [^>]*data-name="([^"]*)">(.*?)</td>', row, re.DOTALL)
        found[name] = {column: text_of(cell) for column, cell in cells}
    return found


def places_of(page: str) -> dict[str, tuple[int, str]]:
    """Where events are, as the first page counts them."""
    return {
        text_of(name): (number_in(number), text_of(about))
        for name, number, about in re.findall(
            r'class="name"[^>]*>(.*?)</.*?class="number">(.*?)</span><span class="about">(.*?)</span>',
            page,
        )
    }


def lines_of(printed_text: str) -> dict[str, dict[str, str]]:
    """The columns of the list that `status` prints, by queue."""
    table = printed_text.split("\n\n")[-2].splitlines()
    heads, *lines = [re.split(r"\s{2,}", line.strip()) for line in table]
    return {line[0]: dict(zip(heads, line, strict=True)) for line in lines}


def number_in(text: str) -> int:
    """The only number in a text."""
    (found,) = re.findall(r"[\d,]+", text)
    return int(found.replace(",", ""))


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """A fleet in trouble since long ago, asked through each door at once."""
    with RedisServer() as server:
        queues = Queues(server.url)
        bring_into_trouble(queues)
        write_card(queues.fleet, "w:1", Card(version="0.2.0", pool="prefork", concurrency=4))
        for queue in queues.registered:
            shard = queues.fleet.shard(queue, 0)
            move_back(queues.client, shard, SINCE)
            write_history(queues.client, shard, rate=3.0, stopped_seconds=None)
        yield ask_each_door(queues)


def ask_each_door(queues: Queues) -> Told:
    """What each door tells of the fleet."""
    browser, (busy, *_) = Browser(queues.settings), sorted(queues.registered)

    def page(path: str) -> str:
        return browser.get(path).body.decode()

    def run(*words: str) -> Any:
        return run_command([*words, "--redis-url", queues.settings.redis_url])

    status = run("status").stdout
    commands = ("status", "workers", "queues", "dead list", "health", "history", "ledger")
    paths = ("status", "workers", "queues", "dead", "health", "scale", f"queues/{busy}/history")
    return Told(
        command={each: printed(run(*each.split(), "--json")) for each in commands},
        words=lines_of(status),
        said=status,
        api={each: document(browser.get(f"api/v1/{each}")) for each in paths},
        samples=samples_of(page("metrics")),
        rows=rows_of(page("")),
        places=places_of(page("")),
        page=text_of(page("")),
        workers=text_of(page("workers")),
        queue=text_of(page(f"queues/{busy}")),
    )


STATES = ("open", "ready", "in_flight", "released", "dead")


def test_what_a_queue_holds(told: Told) -> None:
    """Each state's events are one number on the page, in both forms of the command, API and metric."""
    for queue in told.rows:
        status = told.status(queue)
        (asked,) = (each for each in told.api["status"]["queues"] if each["queue"] == queue)
        for state in STATES:
            column = state.replace("_", " ")
            found = {
                "page": number_in(told.rows[queue][column]),
                "words": number_in(told.words[queue][column]),
                "api": asked[state],
                "metric": told.metric("events", queue=queue, state=state),
            }
            assert found == dict.fromkeys(found, status[state]), (queue, state)


def test_what_all_queues_hold(told: Told) -> None:
    """What the first page sums up is the sum of the queues, and of their metrics."""
    for state in STATES:
        number, _ = told.places[state.replace("_", " ")]
        sums = sum(told.metric("events", queue=each, state=state) for each in told.rows)
        assert number == sums == sum(told.status(each)[state] for each in told.rows), state
    batches = sum(told.status(each)["dead_batches"] for each in told.rows)
    assert batches == len(told.command["dead list"]) == len(told.api["dead"]["batches"])
    assert batches == sum(told.metric("batches", queue=e, state="dead") for e in told.rows)
    assert number_in(told.places["dead"][1]) == batches
    assert f"{batches} dead batch" in told.said
    pending = {told.command["health"]["pending"], told.api["health"]["pending"]}
    (busy, _) = sorted(told.rows)
    assert pending == {told.status(busy)["open"] + told.status(busy)["ready"]}


def test_the_ledger(told: Told) -> None:
    """The page's equation is that of the command and of the metrics."""
    names = ("accepted", "delivered", "dead", "dropped", "pending", "in_flight", "released")
    proven = {each["queue"]: each for each in told.command["ledger"]}
    for name in names:
        looked = {each: told.status(each)["ledger"][name] for each in told.rows}
        total = sum(looked.values())
        assert f"{name.replace('_', ' ')} {total:,} " in told.page, name
        if name == "dead":
            assert {each: proven[each][name] for each in told.rows} == looked
    for name in ("accepted", "delivered"):
        for queue in told.rows:
            number = told.metric(f"events_{name}_total", queue=queue)
            assert number == told.status(queue)["ledger"][name], (queue, name)


def test_ages(told: Told) -> None:
    """How old the oldest event is, how late, and how full the queue: in words and in seconds."""
    for queue in told.rows:
        status, words = told.status(queue), span(SINCE + 3)
        (asked,) = (each for each in told.api["status"]["queues"] if each["queue"] == queue)
        assert told.rows[queue]["oldest"] == told.words[queue]["oldest"] == f"{words} of 60 s"
        for name, metric in (
            ("oldest_age_seconds", "oldest_event_age_seconds"), ("late_seconds", "late_seconds"),
        ):  # fmt: skip
            ages = [status[name], asked[name], told.metric(metric, queue=queue)]
            assert 0 < min(ages) <= max(ages) < min(ages) + SLOWEST, (queue, name)
        assert told.metric("interval_seconds", queue=queue) == status["interval_seconds"] == 60
        assert told.metric("queue_bytes", queue=queue) == status["bytes"] == asked["bytes"]
        assert told.metric("queue_used_ratio", queue=queue) == status["fullness"]
        assert told.metric("queue_paused", queue=queue) == bool(status["paused"])


def test_what_vwo_answered(told: Told) -> None:
    """Tries by their answers, dead letters by what was the matter: page, command, API and metric."""
    (busy, _) = sorted(told.rows)
    answers = told.status(busy)["producers"]["answers"]
    assert set(answers) == {"200", "503"}
    for answer, number in answers.items():
        assert told.metric("answers_total", queue=busy, answer=answer) == number
        assert f"{answer} {number:,} " in told.queue, answer
    for verdict, number in told.status(busy)["producers"]["dead_by"].items():
        assert told.metric("events_dead_lettered_total", queue=busy, verdict=verdict) == number


def test_what_never_came_to_redis(told: Told) -> None:
    """Events on disks, and events that were dropped on the way: command, its words, API and metric."""
    told_of = told.command["status"]["producers"]
    assert told_of == told.api["status"]["producers"]
    lost = told_of["unaccepted"]["redis_unavailable"]["events"]
    on_disk = told_of["spooled"]["events"] - told_of["drained"]["events"]
    (busy, _) = sorted(told.rows)
    metric = told.metric("events_unaccepted_total", queue=busy, reason="redis_unavailable")
    assert metric == lost == 7
    assert told.metric("events_on_disk", queue=busy) == on_disk == 2
    assert f"{on_disk} events on hosts' disks" in told.said
    assert f"{lost} events dropped on the way to Redis" in told.said


def test_rates(told: Told) -> None:
    """What leaves a second is the last step of the history, which command and API tell alike."""
    (busy, _) = sorted(told.rows)
    (history,) = (each for each in told.command["history"] if each["queue"] == busy)
    step = history["steps"][-1]
    asked = told.api[f"queues/{busy}/history"]["steps"][-1]

    assert {name: step[name] for name in ("delivered", "tries")} == {
        name: asked[name] for name in ("delivered", "tries")
    }
    assert told.rows[busy]["delivered"].startswith(f"{step['delivered'] / step['seconds']:.1f}")


def test_who_works(told: Told) -> None:
    """Workers, their lanes and what waits for them: pages, commands, API and metrics."""
    scale, status = told.api["scale"], told.command["status"]
    workers = len(status["listeners"])
    assert workers == scale["workers"] == len(told.command["workers"]["workers"])
    assert told.api["workers"]["workers"][0]["card"]["concurrency"] == scale["lanes_total"]
    assert told.metric("workers", version="0.2.0", pool="prefork") == workers
    assert f"{workers} worker listens" in told.said
    assert f"{workers} worker listens" in told.workers
    for name, metric in (
        ("lanes_wanted", "lanes_wanted"), ("lanes_busy", "lanes_busy"), ("lanes_total", "lanes"),
        ("lanes_most", "lanes_most"),
    ):  # fmt: skip
        assert told.metric(metric) == scale[name], name
    words = f"{scale['lanes_busy']} of {scale['lanes_total']} lanes busy"
    assert told.places["in flight"][1] == words
    assert f"{words};" in told.workers
    assert f"{scale['lanes_wanted']} would find work now" in told.workers
    assert told.metric("waiting_wakeups") == status["waiting_wakeups"]
    assert f"wake-ups that wait {status['waiting_wakeups']}" in told.workers
    assert told.metric("queues") == len(status["queues"]) == len(told.command["queues"])
    assert f"{len(status['queues'])} queues" in told.page


@pytest.mark.parametrize("words", ["status", "workers", "queues", "health"])
def test_a_document_is_the_same_by_command_and_api(told: Told, words: str) -> None:
    """But for what passes meanwhile."""
    assert still(told.command[words]) == still(told.api[words])


_PASSING = (
    "age_seconds", "failing_seconds", "for_seconds", "late_seconds", "try_seconds", "up_seconds",
)  # fmt: skip


def still(document: Any) -> Any:
    """A document without what changes from one moment to the next."""
    if isinstance(document, dict):
        return {
            name: still(each) for name, each in document.items()
            if name != "now_ms" and not name.endswith(_PASSING)
        }  # fmt: skip
    return [still(each) for each in document] if isinstance(document, list) else document
