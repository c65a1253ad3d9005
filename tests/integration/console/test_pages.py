"""The console's pages: what they say, what they ask before they act, and what a role does not see."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import msgspec
import pytest

import vwo_celery.console
from tools.queue_states import HOLDS_SOMETHING, Queues
from tools.visiting import Browser
from vwo_celery.console.actions import ACTIONS
from vwo_celery.console.pages import PAGES
from vwo_celery.console.pages.flows import flow_of
from vwo_celery.console.pages.plans import PLANS
from vwo_celery.console.pages.trends import Trend
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import find_waiting
from vwo_celery.operating.batches.found import WHY_NO_ATTEMPTS
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.operating.past.audit import Actor, changes
from vwo_celery.operating.past.history import Step, view_running
from vwo_celery.queue.holding.declines import note_decline
from vwo_celery.queue.records.histories import sample
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)

TEMPLATES = Path(vwo_celery.console.__file__).parent / "templates"
STATIC = TEMPLATES.parent / "static"


def text_of(browser: Browser, path: str, status: int = 200) -> str:
    """What somebody reads on a page, on one line."""
    answer = browser.get(path)
    assert answer.status == status, answer.body.decode()
    main = answer.body.decode().partition("<main")[2].partition(">")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub("<[^>]*>", " ", main)).split())


def hidden_of(browser: Browser, path: str) -> dict[str, list[str]]:
    """The hidden fields of a page's form."""
    found = re.findall(
        r'<input type="hidden" name="([^"]*)" value="([^"]*)"', browser.get(path).body.decode()
    )
    return {name: [unescape(v) for n, v in found if n == name] for name, _ in found}


# -- what pages say


def test_the_verdict_comes_first_with_its_remedy(queues: Queues) -> None:
    """The first page begins with what keeps events, then what is wrong, each with what to do about it."""
    queue = queues.add()
    queues.fill(queue, 12)
    browser = Browser(queues.settings)
    browser.submit("do/pause", queues=queue.name, reason="VWO changes the key")

    text = text_of(browser, "")

    assert text.startswith("No worker listens, and 12 events wait")
    trouble = text.index("An operator paused a queue")
    assert "VWO changes the key" in text[trouble:]
    assert "What to do" in text[trouble : text.index("Where events are now")]


def test_a_fleet_without_queues_says_what_comes_next(queues: Queues) -> None:
    """An empty fleet is no error: the page says how a queue comes to be."""
    text = text_of(Browser(queues.settings), "")

    assert "No queue yet" in text
    assert "registers its queue with its first event" in text


def test_a_quiet_fleet_shows_no_zeros_that_nobody_counted(queues: Queues) -> None:
    """Without a sample there is no rate, and no chart: nothing is drawn as zero that is not known."""
    queues.add()

    text = text_of(Browser(queues.settings), "")

    assert "no rate known yet" in text
    assert text.count("No sample yet") == 4


def test_numbers_of_a_queue_are_those_of_its_view(queues: Queues) -> None:
    """A queue's page shows the numbers that every other door shows."""
    queue = queues.add(events_per_request=5)
    queues.fill(queue, 13)
    queues.kill(queue, "VWO answered 413")
    browser = Browser(queues.settings)
    (view,) = view_queues(queues.fleet, queues.registered)

    text = text_of(browser, f"queues/{queue.name}")

    for name, number in (("open", view.open), ("ready", view.ready), ("dead", view.dead)):
        assert f"{name} {number}" in text
    assert "accepted 13 = delivered 0 + dead 5 + dropped 0 + pending 8" in text


def test_a_queue_that_is_not_there_is_named(queues: Queues) -> None:
    """A wrong address says which queues there are near it, and where to go."""
    queue = queues.add()

    text = text_of(Browser(queues.settings), f"queues/{queue.name[:-1]}", 404)

    assert queue.name in text


def test_dead_letters_are_grouped_by_why_they_died(queues: Queues) -> None:
    """Many of one cause are one line, and its link picks just them."""
    queue = queues.add(events_per_request=1)
    queues.fill(queue, 4)
    for _ in range(3):
        queues.kill(queue, 'VWO answered 413 ("too large")')
    queues.kill(queue, "VWO answered 400")
    browser = Browser(queues.settings)

    body = browser.get("dead").body.decode()

    links = [unescape(each) for each in re.findall(r'href="\./(dead\?filter=[^"]*)"', body)]
    assert "3 events in 3 batches" in text_of(
        browser, next(each for each in links if "413" in each)
    )
    assert "1 event in 1 batch" in text_of(browser, next(each for each in links if "400" in each))


def test_a_filter_that_cannot_be_read_says_why_beside_it(queues: Queues) -> None:
    """A wrong word keeps what was typed, and says which words there are."""
    body = Browser(queues.settings).get("dead?filter=anwser:413").body.decode()

    assert 'value="anwser:413"' in body
    assert "did you mean &#39;answer&#39;?" in body


def test_the_audit_shows_what_pages_did(queues: Queues) -> None:
    """A change by a page stands in the audit with its reason, and on its queue's page."""
    queue, browser = queues.add(), Browser(queues.settings)

    browser.submit("do/pause", queues=queue.name, reason="a look at VWO first")

    for page in ("audit", f"queues/{queue.name}", f"audit?queue={queue.name}&door=console"):
        text = text_of(browser, page)
        assert "pause" in text
        assert "why: a look at VWO first" in text
    assert "Nothing nobody has changed" in text_of(browser, "audit?door=top")


def test_settings_name_their_source_and_hold_no_secret(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting says where it was written; of a URL nobody sees the password."""
    monkeypatch.setenv("VWO_CELERY_LEASE_SECONDS", "77")
    monkeypatch.setenv("VWO_CELERY_BROKER_URL", "redis://:geheim@127.0.0.1:1/0")
    settings = Settings.load(redis_url=queues.settings.redis_url)

    body = Browser(settings).get("settings").body.decode()

    assert "environment variable VWO_CELERY_LEASE_SECONDS" in body
    assert "77.0" in body
    assert "geheim" not in body


# -- before and after an action


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


def test_a_rate_says_of_how_long(queues: Queues) -> None:
    """A rate stands beside the time that it is of, which is another one than its comparison's."""
    view = queues.view(queues.add())

    accepted, *_, delivered = flow_of(
        [view], None, Trend(accepted_a_second=2.5, delivered_a_second=1.0)
    ).way

    assert accepted.about == "2.5 a second came in the last 3 min"
    assert delivered.about.startswith("1 a second left in the last 3 min")


def test_the_next_try_is_not_before_a_probe_is_due(queues: Queues) -> None:
    """Where only probes are sent, a batch that is due waits for the next one."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.release(queue, "HTTP 503", delay_seconds=0.0)
    view = msgspec.structs.replace(queues.view(queue), next_try_seconds=0.0, held_seconds=26.0)

    (released, *_) = flow_of([view], None, Trend()).beside

    assert released.about == "next try in 26 s"


def test_what_was_delivered_at_a_time_that_is_not_known_is_not_none(queues: Queues) -> None:
    """A number of delivered events does not stand beside the words that there are none."""
    queue = queues.add()
    queues.fill(queue, 5)
    none = queues.view(queue)
    queues.deliver(queue)
    some = msgspec.structs.replace(queues.view(queue), delivered_age_seconds=None)

    places = [flow_of([view], None, Trend()).way[-1] for view in (none, some)]

    assert [(each.number, each.about) for each in places] == [(0, "none so far"), (5, "")]


def test_what_was_refused_is_not_told_as_if_nothing_was_lost(queues: Queues) -> None:
    """Where nothing was dropped, events that a full queue refused are told beside that."""
    view = queues.view(queues.add())
    full = msgspec.structs.replace(view, refused=3)

    places = [flow_of([each], None, Trend()).beside[-1] for each in (view, full)]

    assert [each.about for each in places] == [
        "none of those that were accepted",
        "none of those that were accepted; 3 never accepted, since the queue was full",
    ]


def test_a_page_that_asks_does_not_change_under_its_reader(queues: Queues) -> None:
    """What somebody is about to agree to is not renewed; other pages are, with scripts and without."""
    queue, browser = queues.add(), Browser(queues.settings)

    asking = browser.get(f"ask/flush?queues={queue.name}").body.decode()
    looking = browser.get("").body.decode()

    assert ('data-live="yes"' in asking, "http-equiv" in asking) == (False, False)
    assert ('data-live="yes"' in looking, "http-equiv" in looking) == (True, True)


# -- what a role does not see


def test_a_viewer_sees_no_action_and_no_event(queues: Queues) -> None:
    """What a role may not do is not drawn: no button, no form, and no byte of an event."""
    queue = queues.add(events_per_request=1)
    queues.fill(queue, 2)
    dead = queues.kill(queue, "VWO answered 400")
    viewer = Browser(queues.settings, "viewer")

    for path in (
        "",
        f"queues/{queue.name}",
        "dead",
        f"dead/{dead.id}",
        "workers",
        "settings",
        "audit",
    ):
        body = viewer.get(path).body.decode()
        assert "ask/" not in body, path
        assert 'method="post"' not in body, path
        assert "/events" not in body, path
        assert "&#34;n&#34;" not in body, path
    assert "Events are hidden" in text_of(viewer, f"dead/{dead.id}")
    assert "Not allowed" in text_of(viewer, f"ask/pause?queues={queue.name}", 403)
    assert "Not allowed" in text_of(viewer, f"queues/{queue.name}/events", 403)


def test_an_operator_is_not_offered_to_drop_events(queues: Queues) -> None:
    """Redrive is drawn for an operator; purge only for who may purge."""
    queue = queues.add(events_per_request=1)
    queues.fill(queue, 1)
    queues.kill(queue, "VWO answered 400")

    operator = Browser(queues.settings, "operator").get("dead").body.decode()
    purger = Browser(queues.settings, "purge").get("dead").body.decode()

    assert ("ask/redrive" in operator, "ask/purge" in operator) == (True, False)
    assert ("ask/redrive" in purger, "ask/purge" in purger) == (True, True)


# -- while Redis is away, and safety


def test_while_redis_is_away_the_last_numbers_are_shown_with_their_age() -> None:
    """The page says what is wrong and what to do; below, greyed and out of reach, what it showed last."""
    with RedisServer() as server:
        own = Queues(server.url)
        queue = own.add()
        browser = Browser(own.settings)
        assert browser.get("").status == 200
    browser.console.source._kept.clear()  # a second later

    body = browser.get("").body.decode()

    assert "Redis is away" in body
    assert re.search(r"what this page showed [\d.]+ s ago", body)
    assert queue.name in body.partition('class="stale" inert')[2]
    assert 'data-live="yes"' in body


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_templates_hold_no_script_no_style_and_no_handler(path: Path) -> None:
    """Nothing in a page needs an exception from the policy."""
    text = path.read_text("utf-8")

    assert not re.findall(r"\sstyle\s*=|<style|\son\w+\s*=|javascript:|\|\s*safe", text)
    assert all(
        not body.strip() for body in re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    )


def test_pages_are_small_and_the_script_is_short() -> None:
    """The script is one that somebody reads in a sitting, and evaluates no text."""
    script = (STATIC / "console.js").read_text("utf-8")

    assert len(script.splitlines()) <= 120
    assert not re.findall(r"\beval\b|innerHTML|new Function|document\.write", script)


def test_every_page_can_be_found() -> None:
    """No two pages have one path."""
    paths = [route.path for route in PAGES]

    assert len(paths) == len(set(paths))


def test_letters_that_turn_text_around_are_shown_as_what_they_are(queues: Queues) -> None:
    """A reason cannot steer what is read beside it, on any page that shows it."""
    queue = queues.add(events_per_request=1)
    queues.fill(queue, 1)
    queues.kill(queue, "\u202egnp.tac\u2066 <b>")
    browser = Browser(queues.settings)

    for path in ("", "dead", f"queues/{queue.name}"):
        body = browser.get(path).body.decode()
        assert not {"\u202e", "\u2066"} & {*body}, path
    assert "\\u202egnp.tac\\u2066 &lt;b&gt;" in browser.get("dead").body.decode()


def running(queues: Queues) -> Step | None:
    """The step of all queues that has not ended."""
    views = view_queues(queues.fleet, queues.registered)
    return view_running(queues.fleet, queues.registered, views, queues.fleet.now_ms())


def test_charts_end_with_what_came_since_the_last_sample(queues: Queues) -> None:
    """The minute that is running is drawn from the last sample up to now, and not before there is one."""
    queue = queues.add()
    queues.fill(queue, 3)
    before = running(queues)
    sample(queues.fleet, [queues.shard(queue)])
    queues.fill(queue, 4)

    after = running(queues)

    assert before is None
    assert after is not None
    assert (after.accepted, after.delivered, after.undelivered) == (4, 0, 7)
