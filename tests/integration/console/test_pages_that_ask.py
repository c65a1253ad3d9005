"""The console's pages before and after an action: what it would do, and what it has done."""

from __future__ import annotations

import pytest

from tools.queue_states import HOLDS_SOMETHING, Queues
from tools.visiting import Browser, hidden_of, text_of
from vwo_celery.console.actions import ACTIONS
from vwo_celery.console.pages.plans import PLANS
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import find_waiting
from vwo_celery.operating.batches.found import WHY_NO_ATTEMPTS
from vwo_celery.operating.past.audit import Actor, changes
from vwo_celery.queue.holding.declines import note_decline

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


def test_every_action_has_a_page_before_it() -> None:
    """No form of a page acts before somebody has read what it would do."""
    assert PLANS.keys() == ACTIONS.keys()


def test_a_page_that_asks_changes_nothing(queues: Queues) -> None:
    """Whoever opens what an action would do has not done it."""
    queue = queues.add(events_per_request=2)
    queues.fill(queue, 4)
    dead = queues.kill(queue, "VWO answered 400")
    browser = Browser(queues.settings)
    before = queues.view(queue)

    for name in ("flush", "pause", "resume", "retry"):
        text_of(browser, f"ask/{name}?queues={queue.name}")
    for name in ("redrive", "purge"):
        assert "2 events in 1 batch" in text_of(browser, f"ask/{name}")
        text_of(browser, f"ask/{name}-events?batch={dead.id}&places=1")

    assert changes(queues.fleet) == []
    assert queues.view(queue).ledger == before.ledger


def test_a_page_says_what_a_pause_would_do_and_what_it_did(queues: Queues) -> None:
    """Before: what is kept and what is settled. After: which queue is paused, and where to see it."""
    queue = queues.add()
    queues.fill(queue, 7)
    browser = Browser(queues.settings)
    before = text_of(browser, f"ask/pause?queues={queue.name}")

    answer = browser.order(
        "do/pause", reason="", **hidden_of(browser, f"ask/pause?queues={queue.name}")
    )

    assert f"Pause {queue.name}?" in before
    assert "7 events and all that come are kept" in before
    assert "Paused 1 queue" in answer.body.decode()
    assert f'href="../queues/{queue.name}"' in answer.body.decode()


def test_what_is_shown_before_a_purge_goes_with_it(queues: Queues) -> None:
    """The count and its moment are in the form, so that nothing is dropped that was not shown."""
    queue = queues.add(events_per_request=3)
    queues.fill(queue, 6)
    queues.kill(queue, "VWO answered 400")
    browser = Browser(queues.settings)

    hidden = hidden_of(browser, "ask/purge?filter=reason:400")

    queues.kill(queue, "VWO answered 400")
    assert hidden["filter"] == ["reason:400"]
    assert hidden["batches"] == ["1"]
    assert int(hidden["until_ms"][0]) <= queues.fleet.now_ms()


def test_a_retry_says_what_it_does_and_what_keeps_it_back(queues: Queues) -> None:
    """Only what is not due yet is made due, and a stop holds it all the same."""
    queue, browser = queues.add(), Browser(queues.settings)
    queues.fill(queue, 5)
    queues.release(queue, "HTTP 503")
    browser.submit("do/pause", queues=queue.name, reason="deploy")
    before = text_of(browser, f"ask/retry?queues={queue.name}")

    first = browser.order("do/retry", queues=queue.name).body.decode()
    second = browser.order("do/retry", queues=queue.name).body.decode()

    assert "5 released events wait for another attempt; those that are not due yet" in before
    assert f"Nothing of {queue.name} leaves while it stands still: paused: deploy" in before
    assert "Made 5 events due before their time" in first
    assert "In 1 batch." in first
    assert "0 events" not in first
    assert "All were due already: nothing was changed" in second


@pytest.mark.declared_keys("declined_queues", "*:declined")
def test_a_queue_that_every_worker_declines_is_not_there_to_be_resumed(queues: Queues) -> None:
    """No button does what a button cannot do; the page says what helps instead."""
    queue, browser = queues.add(), Browser(queues.settings)
    queues.fill(queue, 5)
    queues.fleet.note_listener("w:1")
    why = "this worker may not send to 'a'; if it is meant, add it to allowed_hosts"
    note_decline(queues.fleet, queue.name, "w:1", why)
    queues.shard(queue).hold(queues.fleet.now_ms() + 60_000, by="workers", why=why)

    for path in ("", f"queues/{queue.name}"):
        body = browser.get(path).body.decode()
        assert ("ask/pause" in body, "ask/resume" in body) == (True, False), path
    asked = browser.get(f"ask/resume?queues={queue.name}").body.decode()
    assert "every worker declines it, and a resume does not change that" in asked
    assert "add it to allowed_hosts." in asked
    assert "<button" not in asked.partition("<main")[2].partition("</main>")[0]


def test_a_dead_letter_without_an_attempt_of_its_own_says_so(queues: Queues) -> None:
    """Where a batch died that was never sent alone, no 0 stands where somebody expects a number."""
    queue, browser = queues.add(), Browser(queues.settings)
    queues.fill(queue, 5)
    actor = Actor("ana", "cli", "ops1")
    found = find_waiting(queues.fleet, queues.registered, Filter())
    (batch,) = operations.add_dead(queues.fleet, actor, list(found), "as it is")

    assert "none alone" in text_of(browser, "dead")
    assert WHY_NO_ATTEMPTS in text_of(browser, "dead")
    assert "attempts none alone: it was picked out" in text_of(browser, f"dead/{batch.batch}")


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (1, "The 1 event in 1 batch of 1 queue that matches 'answer:413' now: it goes back"),
        (2, "All 2 events in 1 batch of 1 queue that match 'answer:413' now: they go back"),
    ],
)
def test_a_plan_tells_of_one_as_of_one(queues: Queues, events: int, told: str) -> None:
    """No sentence speaks of a single event as of several."""
    queue, browser = queues.add(), Browser(queues.settings)
    assert all(queue.enqueue_many([{"d": {"event": {"name": "a"}}}] * events))
    queues.shard(queue).sweep(force=True, idle_ms=1_000)
    queues.kill(queue, "VWO answered 413: too large")

    assert told in text_of(browser, "ask/redrive?filter=answer:413")
    assert told.partition(":413' now")[0][:12] in text_of(browser, "ask/export?filter=answer:413")


def test_a_page_that_asks_does_not_change_under_its_reader(queues: Queues) -> None:
    """What somebody is about to agree to is not renewed; other pages are, with scripts and without."""
    queue, browser = queues.add(), Browser(queues.settings)

    asking = browser.get(f"ask/flush?queues={queue.name}").body.decode()
    looking = browser.get("").body.decode()

    assert ('data-live="yes"' in asking, "http-equiv" in asking) == (False, False)
    assert ('data-live="yes"' in looking, "http-equiv" in looking) == (True, True)
