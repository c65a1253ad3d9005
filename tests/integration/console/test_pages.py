"""What the console's pages say, while Redis is away, too, and to whom they do not say it."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tools.queue_states import HOLDS_SOMETHING, Queues
from tools.visiting import Browser, text_of
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


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
