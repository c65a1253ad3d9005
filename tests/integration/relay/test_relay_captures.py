"""Real requests of unmodified SDKs, sent to the relay as they were captured, byte for byte."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tools.relays import RelayServer, relaying, stored
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.destinations import Destination
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.relay.reading.batches import events_of
from vwo_celery.settings import Settings
from vwo_celery.testing import Standin

FOLDER = Path(__file__).parents[2] / "data" / "captures" / "relay"
CAPTURES = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
#: Kinds of requests by the end of their names: those that are answered otherwise have tests of their own.
BATCHES = [name for name in CAPTURES if "__batch" in name]
EVENTS = [name for name in CAPTURES if "__event_" in name and "sdkDebug" not in name]
GETS = [name for name in CAPTURES if "__track_" in name or "__push" in name]
REPORTS = [name for name in CAPTURES if "sdkDebug" in name]  # see test_relay_diagnostics
SETTINGS = sorted(set(CAPTURES) - {*BATCHES, *EVENTS, *GETS, *REPORTS})

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)


def as_sent(capture: Mapping[str, Any]) -> bytes:
    """The request's bytes."""
    body = capture["body_text"].encode()
    lines = [f"{capture['method']} {capture['target']} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in capture["headers"]]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def replay(name: str, relay: RelayServer, url: str) -> tuple[Destination, list[bytes]]:
    """Send a capture, which must be accepted; the destination and the events that it led to."""
    answer = relay.ask(as_sent(CAPTURES[name]))

    assert (answer.status, answer.body) == (200, b'{"status":"success"}')
    assert answer.headers["content-type"] == "application/json"
    ((destination, events),) = stored(url).items()
    return destination, events


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_keeps_each_events_bytes(name: str, redis_url: str) -> None:
    """The events are stored with the bytes that the SDK wrote, in their order."""
    with relaying(redis_url) as relay:
        _, events = replay(name, relay, redis_url)

    text = CAPTURES[name]["body_text"].encode()
    count = len(json.loads(text)["ev"])
    assert len(events) == count
    separator = b", " if b'}, {"' in text else b","
    assert b"[" + separator.join(events) + b"]" in text


@pytest.mark.parametrize("name", EVENTS)
def test_an_fme_event_is_the_item_of_a_batch(name: str, redis_url: str) -> None:
    """A single event of an FME SDK is stored as its body was."""
    with relaying(redis_url) as relay:
        destination, events = replay(name, relay, redis_url)

    assert events == [CAPTURES[name]["body_text"].encode()]
    assert destination.generation == "fme"


PYTHON = b'"u":"201278111598516299B9D5A38C3FE462","sId":1795703221,'
NODE = b'"u":"BD756A2BC43252C69B43499C5B586556","sId":1795703118,'
NO_VISITOR = b'"visitor_ua":"","visitor_ip":"",'
ITEMS = {
    "py_legacy_single__track_user": b"{" + PYTHON + NO_VISITOR + b'"c":2,"e":101,"eT":1}',
    "py_legacy_single__track_goal": b"{" + PYTHON + NO_VISITOR + b'"c":2,"e":101,"g":201,"eT":2}',
    "py_legacy_single__track_goal_2": (
        b"{" + PYTHON + NO_VISITOR + b'"c":2,"e":101,"g":202,"eT":2,"r":"49.99"}'
    ),
    "py_legacy_single__track_goal_3": (
        b"{" + PYTHON + NO_VISITOR + b'"c":2,"e":101,"g":202,"eT":2,"r":"12.50"}'
    ),
    "py_legacy_single__push": b"{" + PYTHON + rb'"t":"{\"u\": {\"plan\": \"gold\"}}","eT":3}',
    "node_new_legacy_single__track_user": b"{" + NODE + NO_VISITOR + b'"c":1,"e":101,"eT":1}',
    "node_new_legacy_single__track_goal": (
        b"{" + NODE + NO_VISITOR + b'"c":1,"e":101,"g":202,"eT":2,"r":"49.99"}'
    ),
    "node_new_legacy_single__push": b"{" + NODE + rb'"t":"{\"u\": {\"plan\": \"gold\"}}","eT":3}',
}


@pytest.mark.parametrize("name", GETS)
def test_a_legacy_get_becomes_an_item(name: str, redis_url: str) -> None:
    """A GET of a legacy SDK is stored as the item that Python's SDK would put into a batch."""
    with relaying(redis_url) as relay:
        destination, events = replay(name, relay, redis_url)

    assert len(events) == 1
    assert events[0] == ITEMS.get(name, events[0])
    assert destination.generation == "legacy"
    assert isinstance(json.loads(events[0])["sId"], int)


TAGS = {"u": {'grüße "x" & 50%': "日本 🎉 \\ / ?"}}


@pytest.mark.parametrize("name", ["py_legacy_single__push_2", "node_new_legacy_single__push_2"])
def test_tags_are_what_the_application_gave(name: str, redis_url: str) -> None:
    """Python encodes the JSON as a whole, Node the texts inside raw JSON: both lead to the same tags."""
    with relaying(redis_url) as relay:
        _, events = replay(name, relay, redis_url)

    assert json.loads(json.loads(events[0])["t"]) == TAGS


def test_a_visitor_is_decoded_once(redis_url: str) -> None:
    """A user agent with quotes and letters beyond ASCII is what the browser sent."""
    with relaying(redis_url) as relay:
        _, events = replay("node_new_legacy_single__track_user_3", relay, redis_url)

    event = json.loads(events[0])
    assert event["visitor_ua"] == 'Mozilla/5.0 (X11; Linux x86_64) "q" é 日本'
    assert event["visitor_ip"] == "203.0.113.7"


@pytest.mark.parametrize(
    ("name", "query", "origin"),
    [
        ("node_new_fme_batch__batch", "sn=vwo-fme-node-sdk&sv=1.35.0", "dev.visualwebsiteoptimizer.com"),
        ("py_wing_batch__batch", "sn=wingify-fme-python-sdk&sv=1.65.0", "collect.wingify.net"),
        ("ruby_fme__batch", "", "dev.visualwebsiteoptimizer.com"),
        ("go_fme__event_purchase", "sn=vwo-fme-go-sdk&sv=1.60.0", "dev.visualwebsiteoptimizer.com"),
        ("node_new_legacy_batch__batch", "sdk=vwo-node-sdk&sdk-v=1.73.0&eb=1&_l=1",
         "dev.visualwebsiteoptimizer.com"),
        ("py_legacy_single__push", "sdk=vwo-python-sdk&sdk-v=1.68.2", "dev.visualwebsiteoptimizer.com"),
    ],
)  # fmt: skip
def test_a_destination_says_what_the_sdk_said(
    name: str, query: str, origin: str, redis_url: str
) -> None:
    """The batch's request line names the SDK as the SDK did, or not at all; random parts are gone."""
    with relaying(redis_url) as relay:
        destination, _ = replay(name, relay, redis_url)

    said = destination.url.partition("?")[2].split("&")
    known = [pair for pair in said if pair.partition("=")[0] not in ("a", "env")]
    assert sorted(known) == sorted(filter(None, query.split("&")))
    assert destination.host == origin
    assert str(destination.account_id) == "888888"


def test_a_region_is_the_destinations(redis_url: str) -> None:
    """A first segment before VWO's path is the region, also where an SDK puts one before events/t."""
    capture = dict(CAPTURES["ruby_fme__batch"])
    capture["target"] = f"/eu01{capture['target']}"
    with relaying(redis_url) as relay:
        relay.ask(as_sent(capture))

    (destination,) = stored(redis_url)
    assert destination.region == "eu01"
    assert "/eu01/server-side/batch-events-v2?" in destination.url


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.declared_keys("settings", "refresh")
def test_settings_are_vwos(name: str, redis_url: str) -> None:
    """A request for settings gets VWO's answer, and nothing of it is an event."""
    answers = {
        "settings": {"accountId": 888888, "of": "legacy"},
        "fme_settings": {"accountId": 888888},
    }
    with Standin(**answers) as vwo, relaying(redis_url, relay_upstream=vwo.url) as relay:
        answer = relay.ask(as_sent(CAPTURES[name]))

    expected = answers["fme_settings" if "v2_settings" in name else "settings"]
    assert (answer.status, json.loads(answer.body)) == (200, expected)
    assert stored(redis_url) == {}


def test_all_of_them_reach_vwo_as_what_they_were(redis_url: str) -> None:
    """Through the relay and a worker, each event comes under its own account, key, region and SDK."""
    names = [*BATCHES, *EVENTS, *GETS]
    with Standin() as vwo, relaying(redis_url, relay_upstream=vwo.url) as relay:
        for name in names:
            assert relay.ask(as_sent(CAPTURES[name])).status == 200
        accepted = Counter(event for events in stored(redis_url).values() for event in events)
        _deliver_all(redis_url, vwo)

        sent = [event for request in vwo.batches for event in _items(request.body)]
        assert Counter(sent) == accepted
        assert {request.status for request in vwo.batches} == {200}
        assert vwo.disagreements() == []
        assert len(vwo.batches) == len(stored(redis_url)) == 10  # one for each SDK and version
    assert all(events == [] for events in stored(redis_url).values())


def _deliver_all(redis_url: str, vwo: Standin) -> None:
    """Seal and send what all queues hold."""
    with redis_py.Redis.from_url(redis_url) as client:
        fleet = Fleet(client, "vwo")
        worker = Worker(
            fleet, Settings(redis_url=redis_url, allowed_hosts=[vwo.netloc]), lambda wakeup: None
        )
        for name in fleet.registrations().readable:
            fleet.shard(name, 0).sweep(force=True, idle_ms=0)
            deliver(worker, Wakeup(name, 0, ""))


def _items(body: bytes) -> list[bytes]:
    """The events of a body that a worker has sent, with their bytes."""
    return list(events_of(body, is_fme=False, is_phone=False).events)
