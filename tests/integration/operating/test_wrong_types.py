"""A key that all queues share and that somebody wrote another thing to: each door tells what it can.

One line names the key and what to do; no door says that a Redis is away that answers.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from queue import SimpleQueue
from shlex import quote
from typing import Any

import msgspec
import pytest

from tools.command_line import document as printed
from tools.command_line import flat, run_command
from tools.queue_states import OPERATOR, Queues, no_broker, waiting_and_dead
from tools.visiting import Browser, document
from vwo_celery.console.api.question import BASE
from vwo_celery.console.api.questions import QUESTIONS
from vwo_celery.console.shared.visits import Visit
from vwo_celery.logs import SeldomLog
from vwo_celery.metrics import measuring
from vwo_celery.operating import doctor
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.looks.knowing import NEEDED
from vwo_celery.operating.operations import Amount, Counted, Pace
from vwo_celery.operating.operations.jobs import order_job
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.cards import Card, write_card
from vwo_celery.queue.words.keys import FLEET_FAMILIES, fleet_keys
from vwo_celery.top.looking.watching import Source, Watch

#: The families whose keys have one name each: name -> its type.
TYPES = {
    family.pattern.partition(":")[0]: family.type
    for family in FLEET_FAMILIES
    if isinstance(getattr(fleet_keys("vwo"), family.pattern.partition(":")[0], None), str)
}
#: Pages; the one of the audit needs the key of its name.
PAGES = ("", "workers", "dead", "settings", "audit", "queues/{queue}")
DEAD = 5
#: Keys from which no metric is made.
NOT_MEASURED = ("audit", "jobs", "relays", "relay_cards", "shadow")
#: Questions of the API that the list of queues does not matter to.
NEEDS_NO_QUEUES = ("health", "findings", "workers", "audit", "jobs", "scale")
#: Questions of what stands in one key alone, of the same name.
ONE_KEY = ("audit", "jobs")
#: The keys that each of these lacks something without, and says so.
UNREADABLE = {
    "health": ("listeners", "pulse", "relays", "relay_cards", "watched"),
    "workers": ("listeners", "workers"),
    "scale": ("listeners", "workers", "watched"),
}


def open_fleet(queues: Queues) -> Fleet:
    """The queues, for one look."""
    return Fleet(queues.client, queues.settings.namespace)


@pytest.fixture(scope="module")
def queues() -> Iterator[Queues]:
    """A queue with waiting events and a dead letter, and a worker that listens."""
    with waiting_and_dead() as queues:
        write_card(queues.fleet, "w:1", Card(version="0.2.0", pool="prefork", concurrency=4))
        yield queues


@pytest.fixture(params=TYPES)
def wrong(request: pytest.FixtureRequest, queues: Queues) -> Iterator[str]:
    """The name of a family; its key is of a wrong type meanwhile."""
    name, client = request.param, queues.client
    key = getattr(queues.fleet.keys, name)
    queues.fleet.note_listener("w:1")
    if client.exists(key):
        client.rename(key, f"aside:{key}")
    if TYPES[name] == "string":
        client.rpush(key, "somebody's")
    else:
        client.set(key, "somebody's")
    yield name
    client.delete(key)
    if client.exists(f"aside:{key}"):
        client.rename(f"aside:{key}", key)


def lines(wrong: str) -> tuple[str, str]:
    """What names the key, and what to do."""
    key = getattr(fleet_keys("vwo"), wrong)
    rename = f"RENAME {quote(key)} {quote(f'aside:{key}')}"
    return f"{key} is a string and should be a {TYPES[wrong]}", rename


def assert_told(text: str, wrong: str) -> None:
    """The text names the key and what to do, and says of no Redis that it is away."""
    for line in lines(wrong):
        assert line in text, (line, text)
    assert "is away" not in text


def test_pages_show_what_can_be_known(queues: Queues, wrong: str) -> None:
    """Each page but those that need the key, which name it."""
    browser = Browser(queues.settings)
    name = "none" if wrong in NEEDED else queues.views()[0].queue

    for page in PAGES:
        answer = browser.get(page.format(queue=name))

        needed = wrong in NEEDED and page not in ("settings", "audit")
        assert answer.status == (503 if needed or page == wrong == "audit" else 200), page
        if wrong not in NEEDED or needed:
            assert_told(html.unescape(answer.body.decode()), wrong)


def test_status_and_api_tell_what_can_be_known(queues: Queues, wrong: str) -> None:
    """Both give the same queues, and name the key; where that is the list of queues, as an error."""
    browser = Browser(queues.settings)

    words = run_command(["status", "--redis-url", queues.settings.redis_url])
    told = run_command(["status", "--json", "--redis-url", queues.settings.redis_url])
    answer = browser.get("api/v1/status")

    assert (words.exit_code, told.exit_code) == (1, 1)
    assert_told(flat(words.output), wrong)
    if wrong in NEEDED:
        assert answer.status == 503
        assert_told(document(answer)["error"] + document(answer)["remedy"], wrong)
        return
    for found in (printed(told), document(answer)):
        assert [each["key"] for each in found["wrong_types"]] == [getattr(fleet_keys("vwo"), wrong)]
        assert [each["dead"] for each in found["queues"]] == [DEAD]
        relays = "relay_cards" if wrong == "relay_cards" else "relays"
        unknown = {
            "listeners": found["listeners"], "pulse": found["last_sweeps_ms"],
            "wakeups": found["waiting_wakeups"], relays: found["relays"],
        }  # fmt: skip
        assert all((each is None) is (name == wrong) for name, each in unknown.items()), unknown


def test_each_question_of_the_api_tells_what_can_be_known(queues: Queues, wrong: str) -> None:
    """It names the key that it lacks, in its answer; as an error only if nothing is known without."""
    browser, line = Browser(queues.settings), lines(wrong)[0]
    name = "none" if wrong in NEEDED else queues.views()[0].queue

    for question in QUESTIONS:
        answer = browser.get(f"{BASE}/{question.path}".format(queue=name, batch="none"))

        told, asked = document(answer), question.path
        if (wrong in NEEDED and asked not in NEEDS_NO_QUEUES) or asked == wrong in ONE_KEY:
            assert answer.status == 503, asked
            assert_told(told["error"] + told["remedy"], wrong)
            assert "cannot be used" not in told["error"]
        elif asked != "dead/{batch}/events":
            assert answer.status == 200, (asked, told)
        if asked in UNREADABLE:
            assert told["unreadable"] == ([line] if wrong in UNREADABLE[asked] else []), asked


def test_what_needs_no_such_key_is_known_all_the_same(queues: Queues, wrong: str) -> None:
    """An autoscaler learns how many lanes it needs, and a monitor what waits, whichever key is wrong."""
    browser = Browser(queues.settings)
    expected = {"lanes_busy": 0, "lanes_total": 4, "workers": 1}
    hides = {"listeners": ("lanes_total", "workers"), "workers": ("lanes_total",)}
    expected |= dict.fromkeys(hides.get(wrong, ()))

    scale, health = (document(browser.get(f"api/v1/{each}")) for each in ("scale", "health"))
    workers = document(browser.get("api/v1/workers"))
    (line, *_) = run_command(["health", "--redis-url", queues.settings.redis_url]).output.split(
        "\n"
    )

    assert scale["lanes_wanted"] in (1, 2)  # the open events may have become old enough
    assert {name: scale[name] for name in expected} == expected
    assert health["pending"] == 7
    assert health["listeners"] == (None if wrong == "listeners" else 1)
    assert health["healthy"] is (wrong != "listeners")
    assert (workers["workers"] is None) is (wrong in UNREADABLE["workers"])
    assert (lines(wrong)[0] in line) is (wrong in UNREADABLE["health"]), line


def test_the_command_of_the_workers_says_what_hides_them(queues: Queues, wrong: str) -> None:
    """It names the key, and ends with 1; its document is that of the API."""
    command = ["workers", "--redis-url", queues.settings.redis_url]

    words, told = run_command(command), run_command([*command, "--json"])

    hides = wrong in UNREADABLE["workers"]
    assert (words.exit_code, told.exit_code) == (int(hides), int(hides))
    assert (lines(wrong)[0] in flat(words.output)) is hides
    assert (msgspec.json.decode(told.stdout)["workers"] is None) is hides


def test_metrics_tell_what_can_be_known(
    queues: Queues, wrong: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape answers, and a line of the log names the key."""
    monkeypatch.setattr(measuring, "seldom", SeldomLog())
    answer = Browser(queues.settings).get("metrics").body.decode()

    assert ('state="dead"' in answer) is (wrong not in NEEDED)
    if wrong in NOT_MEASURED:
        assert caplog.text == ""
    else:
        assert_told(caplog.text, wrong)


def test_top_shows_what_can_be_known(queues: Queues, wrong: str) -> None:
    """Its scene has the queues and the line; without the list of queues there is only the line."""
    told: SimpleQueue[Any] = SimpleQueue()
    source = Source(queues.settings, lambda: open_fleet(queues), tuple, no_broker, OPERATOR)
    watch = Watch(source, 60.0, told.put)

    watch.start()
    seen = told.get(timeout=20)
    watch.end()

    if wrong in NEEDED:
        assert_told(f"{seen.what}: {seen.remedy}", wrong)
        return
    assert [view.dead for view in seen.views.values()] == [DEAD]
    (line,) = seen.away
    assert_told(line, wrong)


def test_the_doctor_goes_on(queues: Queues, wrong: str) -> None:
    """It is one problem, and what else there is, is found all the same."""
    found = list(doctor.examine(queues.settings, lambda: open_fleet(queues), no_broker))

    (told,) = (each for each in found if each.id == "VC212")
    assert_told(f"{told.what}: {told.remedy}", wrong)
    assert ("VC631" in {each.id for each in found}) is (wrong not in NEEDED), found


def test_a_worker_without_a_time_hides_nothing(queues: Queues) -> None:
    """Junk among the workers that listen, heard at no time, is left out by each look."""
    key = queues.fleet.keys.listeners
    queues.fleet.note_listener("w:1")
    queues.client.zadd(key, {"forever": "inf", "never": "-inf"})

    heard, last_ms = queues.fleet.listeners(), queues.fleet.last_listened_ms()
    answers = [
        Browser(queues.settings).get(page).status for page in ("", "api/v1/status", "metrics")
    ]
    queues.client.zrem(key, "forever", "never")

    assert heard == ["w:1"]
    assert 0 < last_ms <= queues.fleet.now_ms()
    assert answers == [200, 200, 200]


def test_a_fault_of_ours_is_a_page_all_the_same(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the look itself fails, each page is still an answer: what it needs, or that it failed."""

    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Visit, "look", fail)
    browser = Browser(queues.settings)

    assert (browser.get("").status, browser.get("settings").status) == (500, 200)


@pytest.mark.parametrize("junk", ["9" * 400, "9" * 18, "[" * 10_000])
def test_an_entry_that_nothing_can_show_is_left_out(queues: Queues, junk: str) -> None:
    """Numbers and lists that no page could show hide no other entry of the audit, and no other job."""
    keys, browser = queues.fleet.keys, Browser(queues.settings)
    entry = {"phase": "outcome", "who": "a", "host": "h", "door": "cli", "command": "pause"}
    for field in ("queues", "done", "matched", "duration_ms"):
        queues.client.xadd(keys.audit, {**entry, "change": field, field: junk})
    job = order_job(
        queues.fleet, OPERATOR, "redrive", Counted(Amount(1, 5), 1, ()), filter=Filter(),
        scan_limit=1, pace=Pace(),
    )  # fmt: skip
    for field in ("batches", "events", "heard_ms"):
        queues.client.zadd(keys.jobs, {field: queues.fleet.now_ms()})
        queues.client.copy(keys.job(job), keys.job(field))
        queues.client.hset(keys.job(field), field, junk)

    jobs, pages = document(browser.get("api/v1/jobs")), ("audit", "dead", f"changes/{job}")
    answers = [browser.get(page).status for page in pages]
    queues.client.delete(
        keys.audit, keys.jobs, *map(keys.job, (job, "batches", "events", "heard_ms"))
    )

    assert [each["job"] for each in jobs] == [job]
    assert answers == [200, 200, 200]
