"""After an action: a page of its own, read back from Redis, which repeats nothing when it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest

from tools.queue_states import HOLDS_SOMETHING, Queues
from tools.visiting import Browser, document, header
from vwo_celery.console.actions import ACTIONS
from vwo_celery.console.pages import changes as pages_of_changes
from vwo_celery.operating.operations import jobs
from vwo_celery.operating.past import audit
from vwo_celery.operating.past.audit import changes, find_change
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records import jobs as store
from vwo_celery.queue.records.audits import AuditEntry, note_change
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "_kombu.*", "*:broker:*")


def orders(queues: Queues) -> dict[str, dict[str, object]]:
    """A form of each action that changes something of one queue."""
    queue = queues.add(events_per_request=3)
    queues.fill(queue, 9)
    dead = [queues.kill(queue, "HTTP 413").id for _ in range(2)]
    queues.release(queue, "HTTP 503")
    one = {"queues": [queue.name]}
    until = {"until_ms": queues.fleet.now_ms(), "batches": 2}
    return {
        "flush": one, "pause": one, "retry": one, "resume": one,
        "redrive-events": {"batch": dead[0], "places": [1]},
        "purge-events": {"batch": dead[1], "places": [1, 2]},
        "redrive": until,
        "purge": until,
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ACTIONS if name not in ("stop", "export")])
def test_a_form_leads_to_a_page_that_may_be_loaded_again(queues: Queues, name: str) -> None:
    """The answer to a form leads to a page, which any process of the console knows and which changes
    nothing, however often it is loaded.
    """
    form, browser = orders(queues)[name], Browser(queues.settings)

    answer = browser.submit(f"do/{name}", **form)
    page = urljoin(f"do/{name}", str(header(answer, "location")))
    before = [(each.command, each.change) for each in changes(queues.fleet)]
    first, other = browser.get(page), Browser(queues.settings, "viewer").get(page)

    assert (answer.status, first.status, other.status) == (303, 200, 200)
    assert page.startswith("changes/")
    assert 'role="status"' in first.body.decode()
    assert [(each.command, each.change) for each in changes(queues.fleet)] == before
    assert len(before) + len(jobs.list_jobs(queues.fleet)) == 1


def test_the_page_of_a_job_goes_on_with_it(queues: Queues) -> None:
    """The page that a redrive leads to says how far it is, stops it, and at last what the audit has."""
    form, browser = orders(queues)["redrive"], Browser(queues.settings)
    answer = browser.submit("do/redrive", **form)
    page = urljoin("do/redrive", str(header(answer, "location")))
    (job,) = document(browser.get("api/v1/jobs"))

    waiting = browser.get(page).body.decode()
    jobs.run_job(queues.fleet, job["job"], "worker:1", lambda: False)
    done = browser.get(page).body.decode()

    assert "A worker is to redrive 6 events in 2 batches" in waiting
    assert f"ask/stop?job={job['job']}" in waiting
    assert "Done: redrive 6 events in 2 batches" in done
    assert "ask/stop" not in done
    assert "What the audit has of it" in done


def test_a_job_that_ends_meanwhile_is_not_done_before_the_audit_has_it(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of a job that ends between two looks says of nothing that it is done and unfinished."""
    form, browser = orders(queues)["redrive"], Browser(queues.settings)
    page = urljoin("do/redrive", str(header(browser.submit("do/redrive", **form), "location")))
    (job,) = document(browser.get("api/v1/jobs"))
    pages: list[str] = []

    def find_and_end(*words: Any, **options: Any) -> Any:
        found = find_change(*words, **options)
        store.end_job(queues.fleet, job["job"], "ok", 2, 6, "")
        return found

    def look() -> bool:
        if not pages:
            monkeypatch.setattr(pages_of_changes, "find_change", find_and_end)
            pages.append("")
            pages.append(browser.get(page).body.decode())
        return False

    jobs.run_job(queues.fleet, job["job"], "worker:1", look)

    assert "<dt>result</dt><dd>unfinished</dd>" in pages[1]
    assert "Done:" not in pages[1]


def test_the_page_of_a_job_whose_key_is_somebody_s_is_told_from_the_audit(queues: Queues) -> None:
    """A job's key of a wrong type costs that job, and no list."""
    form, browser = orders(queues)["redrive"], Browser(queues.settings)
    page = urljoin("do/redrive", str(header(browser.submit("do/redrive", **form), "location")))
    (job,) = document(browser.get("api/v1/jobs"))
    jobs.run_job(queues.fleet, job["job"], "worker:1", lambda: False)
    key = queues.fleet.keys.job(job["job"])
    queues.client.delete(key)
    queues.client.set(key, "somebody's")

    assert document(browser.get("api/v1/jobs")) == []
    assert "6 events sent again" in browser.get(page).body.decode()


def test_a_stop_leads_to_its_job(queues: Queues) -> None:
    """Whoever stops a job sees next that it was asked to stop."""
    form, browser = orders(queues)["redrive"], Browser(queues.settings)
    browser.submit("do/redrive", **form)
    (job,) = document(browser.get("api/v1/jobs"))

    page = browser.order("do/stop", job=job["job"]).body.decode()

    assert "asked to stop" in page


def test_what_was_so_before_is_told(queues: Queues) -> None:
    """Of several queues, the page names those that were as they are, and counts only the others."""
    first, second = queues.add(), queues.add(2)
    browser = Browser(queues.settings)
    browser.submit("do/pause", queues=[first.name])

    page = browser.order("do/pause", queues=[first.name, second.name]).body.decode()
    again = browser.order("do/pause", queues=[first.name]).body.decode()

    assert "Paused 1 queue<" in page
    assert f"Paused before: {first.name}." in page
    assert "An operator had paused it before: nothing was changed" in again


def test_a_name_keeps_its_spelling(queues: Queues) -> None:
    """What came of a flush begins with the queue's name as it is; other words get a capital letter."""
    queue = queues.add(2)
    queues.fill(queue, 2)
    browser = Browser(queues.settings)
    browser.submit("do/pause", queues=[queue.name])

    page = browser.order("do/flush", queues=[queue.name]).body.decode()

    assert f"<p>{queue.name}: " in page
    assert queue.name.capitalize() not in page


def test_a_filter_on_visitors_is_hidden_from_who_may_not_see_events(queues: Queues) -> None:
    """The page of somebody else's change holds no visitor's id for who may not see events."""
    queue, browser = queues.add(events_per_request=1), Browser(queues.settings)
    assert queue.enqueue({"d": {"visId": "alice-7"}})
    queues.kill(queue, "HTTP 413")
    form = {"filter": "visitor:alice-7", "until_ms": queues.fleet.now_ms(), "batches": 1}
    page = urljoin("do/redrive", str(header(browser.submit("do/redrive", **form), "location")))

    assert "alice-7" in browser.get(page).body.decode()
    assert "alice-7" not in Browser(queues.settings, "viewer").get(page).body.decode()


def test_a_change_that_is_not_known_leads_to_the_audit(queues: Queues) -> None:
    """An id that the audit has no more is told so, whatever moment the address has."""
    queue, browser = queues.add(), Browser(queues.settings)
    browser.submit("do/pause", queues=queue.name)
    (known,) = changes(queues.fleet)

    for path in ("changes/none", f"changes/{known.change}?at=9999999999999", "changes/none?at=-1"):
        answer = browser.get(path)
        assert answer.status == 404, path
        assert "the audit lists all changes" in answer.body.decode()
    assert browser.get(f"changes/{known.change}?at=x").status == 200


def test_a_change_that_a_full_redis_does_not_note_is_told_all_the_same() -> None:
    """A queue that is resumed while Redis is full is resumed, and the page says so without the audit."""
    with RedisServer() as server:
        own = Queues(server.url)
        queue, browser = own.add(), Browser(own.settings)
        browser.submit("do/pause", queues=queue.name)
        own.client.config_set("maxmemory", 1)

        answer = browser.submit("do/resume", queues=queue.name)

        own.client.config_set("maxmemory", 0)
        assert answer.status == 200
        assert "The audit has no entry of it" in answer.body.decode()
        assert own.view(queue).stopped is None
        assert [each.command for each in changes(own.fleet)] == ["pause"]


@pytest.fixture
def filling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queues]:
    """Queues of a Redis that is full once a change has been made, and takes no entry of its end."""
    with RedisServer() as server:
        own = Queues(server.url)

        def note(fleet: Fleet, entry: AuditEntry) -> None:
            own.client.config_set("maxmemory", 1 if entry.phase == "outcome" else 0)
            note_change(fleet, entry)

        monkeypatch.setattr(audit, "note_change", note)
        yield own


def test_a_change_whose_end_a_full_redis_does_not_note_is_told_as_done(filling: Queues) -> None:
    """The answer to its form does not say that it goes on, or that its process was killed."""
    queue, browser = filling.add(), Browser(filling.settings)

    answer = browser.submit("do/pause", queues=queue.name)

    assert answer.status == 200
    assert "pause: done" in answer.body.decode()
    assert "The audit has no entry of its end" in answer.body.decode()
    assert filling.view(queue).stopped is not None
    assert [each.result for each in changes(filling.fleet)] == ["unfinished"]


def test_a_job_whose_end_the_audit_lacks_is_not_done_and_unfinished(filling: Queues) -> None:
    """Its page says what its job tells, and that the audit has no entry of the end."""
    form, browser = orders(filling)["redrive"], Browser(filling.settings)
    page = urljoin("do/redrive", str(header(browser.submit("do/redrive", **form), "location")))
    (job,) = document(browser.get("api/v1/jobs"))
    jobs.run_job(filling.fleet, job["job"], "worker:1", lambda: False)
    filling.client.config_set("maxmemory", 0)
    store.end_job(filling.fleet, job["job"], "ok", 2, 6, "")  # which the full Redis did not take

    told = browser.get(page).body.decode()

    assert "Done: redrive 6 events in 2 batches" in told
    assert "The audit has no entry of its end" in told
    assert "unfinished" not in told


def test_a_change_is_told_though_the_audit_cannot_be_read(queues: Queues) -> None:
    """A queue is paused while the audit's key is of a wrong type, and the page does not say otherwise."""
    queue, browser = queues.add(), Browser(queues.settings)
    queues.client.set(queues.fleet.keys.audit, "junk")

    answer = browser.submit("do/pause", queues=queue.name)

    assert queues.view(queue).stopped is not None
    assert answer.status == 200
    assert "pause: done" in answer.body.decode()
    assert "cannot be read back" in answer.body.decode()
    queues.client.delete(queues.fleet.keys.audit)
