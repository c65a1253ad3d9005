"""What the console's actions do: the same as the command line, after the same questions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import msgspec
import pytest

from tools.queue_states import HOLDS_SOMETHING, Queues
from tools.visiting import Browser, document
from vwo_celery.celery.worker import background
from vwo_celery.console.actions import ACTIONS
from vwo_celery.console.api.questions import QUESTIONS
from vwo_celery.console.shared import sources, visits
from vwo_celery.operating.operations import jobs
from vwo_celery.operating.past.audit import changes
from vwo_celery.settings import Settings
from vwo_celery.testing import free_port

pytestmark = pytest.mark.declared_keys(
    *HOLDS_SOMETHING, "_kombu.*", "*:broker:*", "celery", "*:celery"
)
DEAD = 3


def dead(queues: Queues, batches: int = DEAD) -> str:
    """A paused queue with so many dead batches of five; its name."""
    queue = queues.add()
    queues.fill(queue, 5 * batches)
    for _ in range(batches):
        queues.kill(queue, "HTTP 413")
    queues.shard(queue).pause("lunch", by="operator")
    return queue.name


def ready(queues: Queues) -> str:
    """A queue with a batch of five."""
    queue = queues.add()
    queues.fill(queue, 5)
    return queue.name


def test_documents_are_as_they_are_described(queues: Queues) -> None:
    """Each answer is of the type from which the OpenAPI document is made."""
    queue, browser = dead(queues), Browser(queues.settings)
    batch = document(browser.get("api/v1/dead"))["batches"][0]["batch"]
    browser.post("api/v1/pause", {"queues": [queue]})

    for question in QUESTIONS:
        answer = browser.get(f"api/v1/{question.path.format(queue=queue, batch=batch)}")

        assert msgspec.json.decode(answer.body, type=question.gives) is not None, question.path
    for name in ("pause", "resume", "retry", "flush"):
        answer = browser.post(f"api/v1/{name}", {"queues": [queue]})
        assert msgspec.json.decode(answer.body, type=ACTIONS[name].gives) is not None, name


def test_a_flush_that_did_not_wait_speaks_of_no_time(queues: Queues) -> None:
    """Its answer and the audit say that nothing was waited for, not that a time was over."""
    queue, browser = queues.add(), Browser(queues.settings)
    queues.fill(queue, 5)
    queues.fleet.note_listener("w:1")

    (flushed,) = document(browser.post("api/v1/flush", {"queues": [queue.name]}))
    (change,) = changes(queues.fleet)

    assert (flushed["pending"], flushed["reason"]) == (5, "this flush did not wait for them")
    assert change.note.endswith("0 not accepted: this flush did not wait for them")


# -- bulk work


def test_what_was_shown_is_counted_and_a_worker_does_it(queues: Queues) -> None:
    """A redrive is counted, ordered with what was shown, done as a job, and told."""
    queue, browser = dead(queues), Browser(queues.settings)
    shown = document(browser.get(f"api/v1/dead/count?filter=queue:{queue}"))["counted"]
    order = {
        "filter": f"queue:{queue}", "until_ms": shown["until_ms"], "batches": shown["amount"]["batches"],
    }  # fmt: skip

    ordered = document(browser.post("api/v1/redrive", order))
    (waiting,) = document(browser.get("api/v1/jobs"))
    jobs.run_job(queues.fleet, ordered["job"], "worker:1", lambda: False)
    (done,) = document(browser.get("api/v1/jobs"))

    assert ordered["counted"] == {"batches": DEAD, "events": 5 * DEAD}
    assert (waiting["job"], waiting["state"], waiting["who"]) == (
        ordered["job"],
        "waiting",
        "alice",
    )
    assert (done["state"], done["changed"]) == ("ok", ordered["counted"])
    (change,) = changes(queues.fleet)
    assert (change.command, change.door, change.who, change.done) == (
        "dead redrive", "api", "alice", 5 * DEAD,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["redrive", "purge"])
def test_more_than_was_shown_is_not_changed(queues: Queues, name: str) -> None:
    """Where more matches than somebody saw, nothing is ordered, and they are told to look again."""
    dead(queues)
    browser = Browser(queues.settings)
    now_ms = queues.fleet.now_ms()

    answer = browser.post(f"api/v1/{name}", {"batches": DEAD - 1, "until_ms": now_ms})

    assert answer.status == 409
    assert "3 batches match now, and 2 were shown" in document(answer)["error"]
    assert document(browser.get("api/v1/jobs")) == []


@pytest.mark.parametrize("ends", [False, True])
def test_a_form_that_is_sent_twice_orders_once(queues: Queues, ends: bool) -> None:
    """A double click, or an answer that is loaded again, does not change as much once more."""
    dead(queues)
    browser = Browser(queues.settings)
    order = {"until_ms": queues.fleet.now_ms(), "batches": DEAD, "most": 1}
    first = browser.order("do/redrive", **order)
    (job,) = document(browser.get("api/v1/jobs"))
    if ends:
        jobs.run_job(queues.fleet, job["job"], "worker:1", lambda: False)

    second = browser.submit("do/redrive", **order)

    assert "to end after 1 batch" in first.body.decode()
    assert "to end after 1 batch" in browser.get("dead").body.decode()
    assert second.status == 409
    assert f"ordered already, as job {job['job']}" in second.body.decode()
    assert len(document(browser.get("api/v1/jobs"))) == 1


def test_a_form_that_is_sent_twice_at_once_orders_once(
    queues: Queues, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes of a console get the same form, and both have ordered before either looks."""
    dead(queues)
    form, both, order_job = {"until_ms": queues.fleet.now_ms()}, Barrier(2), jobs.order_job

    def order_with_the_other(*words: Any, **options: Any) -> str:
        both.wait(10)  # so that neither has seen the other's order before it orders
        job = order_job(*words, **options)
        both.wait(10)
        return job

    monkeypatch.setattr(jobs, "order_job", order_with_the_other)
    browsers = [Browser(Queues(redis_url).settings) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda each: each.submit("do/redrive", **form), browsers))

    assert sorted(each.status for each in answers) == [303, 409]
    (waiting,) = (each["job"] for each in document(browsers[0].get("api/v1/jobs")))
    (second,) = (each.body.decode() for each in answers if each.status == 409)
    assert f"ordered already, as job {waiting}" in second


def test_a_job_that_began_is_no_failure_of_the_broker(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that answers with an error, and has told a worker all the same, has ordered the job."""
    dead(queues)

    def told_all_the_same(_: Any, job: str) -> None:
        jobs.run_job(queues.fleet, job, "worker:1", lambda: False)
        raise background.NotOrdered("the broker takes no task: it went away")

    monkeypatch.setattr(background, "publish_job", told_all_the_same)

    answer = Browser(queues.settings).post("api/v1/redrive", {})

    assert answer.status == 200
    assert document(answer)["counted"]["batches"] == DEAD


def test_what_died_after_the_look_is_left_alone(queues: Queues) -> None:
    """Only what was there when somebody looked is changed."""
    dead(queues, 1)
    browser = Browser(queues.settings)
    shown = document(browser.get("api/v1/dead/count"))["counted"]
    queues.client.flushdb()
    dead(queues, 1)

    answer = browser.post("api/v1/redrive", {"until_ms": shown["until_ms"], "batches": 1})

    assert answer.status == 409
    assert "no dead letter matches" in document(answer)["error"]


def test_a_purge_says_how_much(queues: Queues) -> None:
    """Nothing is dropped for good by somebody who has not been shown how much."""
    dead(queues)

    answer = Browser(queues.settings).post("api/v1/purge", {"filter": ""})

    assert answer.status == 400
    assert "dead/count" in document(answer)["remedy"]


def test_without_a_broker_nothing_is_ordered(queues: Queues) -> None:
    """A job that no worker can be told of is given up at once, and nothing is changed."""
    dead(queues)
    broker = f"amqp://127.0.0.1:{free_port()}"
    settings = Settings(redis_url=queues.settings.redis_url, broker_url=broker)
    browser = Browser(settings)

    answer = browser.post("api/v1/redrive", {})

    assert answer.status == 503
    assert "Nothing was changed" in document(answer)["error"]
    (job,) = document(browser.get("api/v1/jobs"))
    assert (job["state"], job["changed"]["events"]) == ("failed", 0)
    assert sum(view.dead_batches for view in queues.views()) == DEAD


def test_single_events_are_picked_out(queues: Queues) -> None:
    """Single events of a dead letter are sent again or dropped; the rest stays dead."""
    dead(queues, 1)
    browser = Browser(queues.settings)

    for name, left in (("redrive-events", 3), ("purge-events", 1)):
        (batch,) = document(browser.get("api/v1/dead"))["batches"]
        order = {"batch": batch["batch"], "places": [1, 2]}
        picked = document(browser.post(f"api/v1/{name}", order))

        (rest,) = document(browser.get("api/v1/dead"))["batches"]
        assert (picked["events"], picked["rest"], rest["events"]) == (2, rest["batch"], left)
        again = browser.post(f"api/v1/{name}", {"batch": rest["batch"], "places": [9]})
        assert again.status == 409


def test_a_job_is_stopped_by_its_id(queues: Queues) -> None:
    """A job that waits or runs is stopped; one that is not there is told so."""
    dead(queues)
    browser = Browser(queues.settings)
    job = document(browser.post("api/v1/redrive", {}))["job"]

    stopped, unknown = (browser.post("api/v1/stop", {"job": each}) for each in (job, "none"))

    assert document(stopped)["job"] == job
    assert unknown.status == 404
    assert document(browser.get("api/v1/jobs"))[0]["stop_asked"]


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({}, "either names of queues"), ({"queues": "a", "every": "1"}, "either names of queues"),
        ({"queues": "none"}, "none"), ({"every": "maybe"}, "every"), ({"every": "1", "why": "x"}, "why"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_form_says_what_is_wrong(queues: Queues, form: dict[str, str], why: str) -> None:
    """A field that is missing, unknown or wrong changes nothing, and is named."""
    queue = ready(queues)

    answer = Browser(queues.settings).submit("do/pause", **form)

    assert answer.status in (400, 404)
    assert why in answer.body.decode()
    assert queues.views()[0].queue == queue
    assert changes(queues.fleet) == []


def test_a_queue_that_a_page_shows_can_be_asked_about(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that is newer than the registrations that are kept shows a new queue, with links."""
    monkeypatch.setattr(visits, "LOOK_SECONDS", 60.0)  # how long registrations are kept
    monkeypatch.setattr(sources, "LOOK_SECONDS", 0.0)
    browser = Browser(queues.settings)
    assert browser.get(f"ask/pause?queues={queues.add().name}").status == 200

    new = queues.add(2).name

    assert new in browser.get("").body.decode()
    assert browser.get(f"ask/pause?queues={new}").status == 200
    assert browser.get("ask/pause?queues=none").status == 404
