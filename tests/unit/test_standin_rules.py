"""The stand-in's rules, counts and faults, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vwo_celery.testing.standin.agreement import disagreements
from vwo_celery.testing.standin.faults import Fault, FaultPlan
from vwo_celery.testing.standin.fetches import is_settings
from vwo_celery.testing.standin.rules import (
    MAX_BODY_BYTES,
    MAX_EVENTS,
    Answer,
    Request,
    is_batch,
    is_event_get,
    is_single,
    judge_batch,
    judge_event_get,
    judge_single,
)
from vwo_celery.testing.standin.tally import Tally

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
BATCHES = sorted([*CAPTURES.glob("legacy_*.json"), *CAPTURES.glob("fme_*.json")])
LEGACY = "/server-side/batch-events"
FME = "/server-side/batch-events-v2"
SINGLE = "/events/t"
VISIT = {"u": "A" * 32, "sId": 1_795_307_390, "c": 2, "e": 101, "eT": 1}
PURCHASE = {
    "d": {
        "msgId": "A-1", "visId": "A" * 32, "sessionId": 1_795_307_390,
        "event": {"props": {}, "name": "purchase", "time": 1_795_307_390_500},
    }
}  # fmt: skip


def request(
    path: str = LEGACY,
    events: Any = (VISIT,),
    *,
    body: bytes | None = None,
    query: str = "a=7&env=KEY",
    key: str | None = "KEY",
) -> Request:
    """A valid POST of *events*, except for what the caller changes."""
    headers = [("Host", "x")] + ([] if key is None else [("authorization", key)])
    given = json.dumps({"ev": list(events)}).encode() if body is None else body
    return Request("POST", f"{path}?{query}", headers, given, 1_795_307_391.0)


@pytest.mark.parametrize("path", BATCHES, ids=lambda path: path.stem)
def test_what_the_sdks_send_is_taken(path: Path) -> None:
    """Every batch recorded from an unmodified SDK is accepted, and its events are read byte for byte."""
    capture = json.loads(path.read_text("utf-8"))
    headers = [(name, value) for name, value in capture["headers"]]
    key = capture["query"]["env"]
    sent = Request(
        capture["method"], capture["target"], headers, capture["body_text"].encode(), capture["t"]
    )

    answer = judge_batch(sent, {capture["query"]["a"]: key})

    assert is_batch(sent.path)
    assert answer.status == 200
    assert [json.loads(event) for event in answer.events] == capture["body_json"]["ev"]
    assert all(event.decode() in capture["body_text"] for event in answer.events)
    assert all(-0.1 <= capture["t"] - time <= 5 for time in answer.times)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(), 200),
        (request(FME, [PURCHASE]), 200),
        (request("/eu01" + FME, [PURCHASE]), 200),
        (request(events=[]), 200),
        (request(events=[VISIT] * MAX_EVENTS), 200),
        (request(events=[VISIT] * (MAX_EVENTS + 1)), 413),
        (request(body=b'{"ev":[]}'.ljust(MAX_BODY_BYTES)), 200),
        (request(body=b'{"ev":[]}'.ljust(MAX_BODY_BYTES + 1)), 413),
        (request(key=None), 401),
        (request(key=""), 401),
        (request(key="OTHER"), 400),
        (request(query="a=7&env=OTHER"), 400),
        (request(query="a=8&env=KEY"), 400),
        (request(query="env=KEY"), 400),
        (request(query="a=7"), 400),
        (request(body=b""), 400),
        (request(body=b"\xff"), 400),
        (request(body=b'{"ev":[NaN]}'), 400),
        (request(body=b'[{"u":"A"}]'), 400),
        (request(body=b'{"events":[]}'), 400),
        (request(events=[PURCHASE]), 400),
        (request(FME, [VISIT]), 400),
        (request(events=[VISIT, {**VISIT, "eT": 9}]), 400),
        (request(events=[{k: v for k, v in VISIT.items() if k != "u"}]), 400),
        (request(events=[{**VISIT, "eT": 2}]), 400),
        (request(events=[{"u": "A", "sId": 1, "eT": 3}]), 400),
        (request(FME, [{"d": {**PURCHASE["d"], "event": {"name": "purchase"}}}]), 400),
    ],
)
def test_the_rules(sent: Request, status: int) -> None:
    """Bounds, account, key and shapes are enforced; a refusal accepts no event and says why."""
    answer = judge_batch(sent, {"7": "KEY"})

    assert answer.status == status
    if status != 200:
        assert answer.events == ()
        assert json.loads(answer.body)["error" if status == 413 else "message"]


def test_a_lone_surrogate_is_taken_as_the_sdks_send_it() -> None:
    """The escape of half an emoji is JSON: the event is taken byte for byte, beside its neighbours."""
    odd = {**VISIT, "ua": "cut \ud83d", "ip": "a pair \U0001f600 and a \\ud83d of letters"}
    sent = request(events=[VISIT, odd, VISIT])

    answer = judge_batch(sent, {"7": "KEY"})

    assert b"cut \\ud83d" in sent.body
    assert answer.status == 200
    assert list(answer.events) == [json.dumps(each).encode() for each in (VISIT, odd, VISIT)]
    assert sent.events == [VISIT, odd, VISIT]


def test_a_wrong_account_is_named_as_vwo_names_it() -> None:
    """The text of the 400 tells a wrong account from a refused event."""
    answer = judge_batch(request(query="a=8&env=KEY"), {"7": "KEY"})

    assert "Account id not found" in json.loads(answer.body)["message"]


def test_any_account_is_taken_where_none_is_named() -> None:
    """Without a list of accounts, a request only has to agree with itself."""
    taken = judge_batch(request(query="a=12345&env=KEY"), None)
    refused = judge_batch(request(query="a=12345&env=OTHER"), None)

    assert (taken.status, refused.status) == (200, 400)


@pytest.mark.parametrize(
    ("path", "batch", "settings"),
    [
        (LEGACY, True, False),
        (FME, True, False),
        ("/as01" + LEGACY, True, False),
        ("/a/b" + LEGACY, False, False),
        (LEGACY + "-v3", False, False),
        ("/events/t", False, False),
        ("/server-side/v2-settings", False, True),
        ("/eu01/server-side/settings", False, True),
        ("/server-side/pull", False, True),
        ("/eu01/server-side/v2-pull", False, True),
        ("/server-side/v2-push", False, False),
    ],
)
def test_the_paths(path: str, batch: bool, settings: bool) -> None:
    """Batches are accepted on the two batch endpoints, with or without one region before them."""
    assert (is_batch(path), is_settings(path)) == (batch, settings)


def taking(*events: bytes, times: tuple[float, ...] = ()) -> Answer:
    """A 200 that accepts *events*."""
    return Answer(200, (), b"{}", events, times)


def test_the_tally_adds_up() -> None:
    """Requests are accepted, rejected or unanswered; an event with the same bytes is a repeat."""
    tally = Tally()

    tally.note_batch(taking(b"a", b"b"), body_bytes=10, at=5.0, answered=True)
    tally.note_batch(taking(b"b", b"c", b"b"), body_bytes=20, at=7.0, answered=False)
    tally.note_batch(taking(), body_bytes=9, at=6.0, answered=True)
    tally.note_batch(Answer.of(503, {}), body_bytes=1, at=4.0, answered=True)
    stats = tally.stats()

    assert (stats.requests, stats.accepted, stats.rejected, stats.unanswered) == (4, 2, 1, 1)
    assert stats.rejected_by_status == {"503": 1}
    assert (stats.events, stats.duplicates, stats.largest_batch) == (5, 2, 3)
    assert (stats.empty, stats.bytes) == (1, 40)
    assert (stats.first_at, stats.last_at) == (4.0, 7.0)


def test_delays_are_from_the_event_to_its_arrival() -> None:
    """A delay is the arrival minus the event's own time; percentiles are over all requests."""
    tally = Tally()

    tally.note_batch(taking(times=tuple(range(100))), body_bytes=0, at=100.0, answered=True)
    delays = tally.stats().delay_seconds

    assert (delays.p50, delays.p95, delays.p99, delays.max) == (50, 95, 99, 100)
    assert Tally().stats().delay_seconds.p50 is None


@pytest.mark.parametrize(
    ("fault", "status", "taken"),
    [
        (Fault(), 200, 1),
        (Fault(status=500), 500, 0),
        (Fault(status=202), 202, 1),
        (Fault(status=500, accepted=True), 500, 1),
        (Fault(connection="reset"), 200, 0),
        (Fault(connection="reset", accepted=True), 200, 1),
        (Fault(connection="hang"), 200, 0),
        (Fault(connection="cut"), 200, 1),
        (Fault(accepted=False), 200, 0),
    ],
)
def test_a_fault_says_what_counts_as_taken(fault: Fault, status: int, taken: int) -> None:
    """Events count as accepted by the status, unless the fault says otherwise (a lost answer)."""
    answer = fault.apply(taking(b"a"))

    assert (answer.status, len(answer.events)) == (status, taken)


def test_a_fault_replaces_headers_of_the_same_name() -> None:
    """A fault can set any header and body of the answer."""
    fault = Fault(
        status=429, headers=(("content-type", "text/html"), ("Retry-After", "7")), body=b""
    )

    answer = fault.apply(Answer.of(200, {}))

    assert answer.headers == (("content-type", "text/html"), ("Retry-After", "7"))
    assert answer.body == b""


def test_planned_faults_come_first_and_in_order() -> None:
    """Planned faults are used first, one per request and in order; then the chooser decides."""
    plan = FaultPlan(lambda sent: 500 if "eu01" in sent.path else None)
    plan.add(503, "reset", None)

    seen = [plan.take(request()) for _ in range(4)] + [plan.take(request("/eu01" + LEGACY))]

    assert seen == [
        Fault(status=503),
        Fault(connection="reset"),
        Fault(),
        Fault(),
        Fault(status=500),
    ]


# -- single events


def single(
    query: str = "en=purchase&a=7&env=KEY", body: Any = PURCHASE, region: str = ""
) -> Request:
    """A valid single event, except for what the caller changes."""
    given = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request("POST", f"{region}{SINGLE}?{query}", [("Host", "x")], given, 1_795_307_391.0)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (single(), 200),
        (single(region="/eu01"), 200),
        (single("en=vwo_sdkUsageStats&a=777"), 200),
        (single("en=vwo_sdkUsageStats&a=777&env=KEY"), 200),
        (single("en=purchase&a=8&env=KEY"), 400),
        (single("en=purchase&a=7&env=OTHER"), 400),
        (single("en=purchase&env=KEY"), 400),
        (single("a=7&env=KEY"), 400),
        (single(body={"ev": []}), 400),
        (single(body=b"["), 400),
        (single(body=b'{"d":{"a":"' + b"x" * MAX_BODY_BYTES + b'"}}'), 413),
    ],
    ids=lambda part: str(part)[:60],
)
def test_a_single_event_is_judged_by_its_query(sent: Request, status: int) -> None:
    """Account and key of a single event are in its query; it has no Authorization."""
    assert is_single(sent.path)
    assert judge_single(sent, {"7": "KEY"}).status == status


def says(**props: Any) -> dict[str, Any]:
    """An event that says something of its origin."""
    happening = {"name": "purchase", "props": props, "time": 1}
    return {"d": {"event": happening, "visitor": {"props": {"vwo_fs_environment": "KEY"}}}}


@pytest.mark.parametrize(
    ("props", "query", "told"),
    [
        ({"vwo_envKey": "KEY", "vwoMeta": {"a": 7, "env": "KEY"}}, "a=7&env=KEY", []),
        ({"vwo_sdkName": "go"}, "a=7&env=KEY", []),
        ({"vwo_sdkName": "go"}, "a=7&env=KEY&sn=go", []),
        ({"vwo_sdkName": "go"}, "a=7&env=KEY&sn=python", ["SDK"]),
        ({"vwo_sdkVersion": "1"}, "a=7&env=KEY&sv=2", ["SDK version"]),
        ({"vwo_envKey": "OTHER"}, "a=7&env=KEY", ["key"]),
        ({"vwoMeta": {"a": 8}}, "a=7&env=KEY", ["account"]),
        ({}, "a=7&env=OTHER", ["key"]),
    ],
    ids=str,
)
def test_events_are_held_against_their_request(
    props: dict[str, Any], query: str, told: list[str]
) -> None:
    """What an event says of account, key and SDK is compared, in a batch as in a single request."""
    event = says(**props)

    for sent in (request(FME, [event], query=query), single(f"en=purchase&{query}", event)):
        found = disagreements(sent, {})

        assert [
            sentence.split(" says ")[1].split(" '")[0].split(" 8")[0] for sentence in found
        ] == told


def test_an_account_has_its_region() -> None:
    """A request of an account that comes to another region than its own is told."""
    assert disagreements(single(region="/eu01"), {"7": "eu01", "8": "as01"}) == []
    assert disagreements(single(), {"8": "eu01"}) == []
    assert disagreements(single(), {"7": "eu01"}) == [
        "account 7 is of region 'eu01', and came to ''"
    ]
    assert len(disagreements(request("/as01" + LEGACY), {"7": "eu01"})) == 1


@pytest.mark.parametrize("path", BATCHES, ids=lambda path: path.stem)
def test_what_the_sdks_send_agrees_with_itself(path: Path) -> None:
    """No batch recorded from an unmodified SDK is told of."""
    capture = json.loads(path.read_text("utf-8"))
    headers = [(name, value) for name, value in capture["headers"]]
    body = capture["body_text"].encode()
    sent = Request(capture["method"], capture["target"], headers, body, capture["t"])

    assert disagreements(sent, {}) == []


GETS = sorted((CAPTURES / "relay").glob("*legacy_single__*.json"))


@pytest.mark.parametrize(
    "path",
    [each for each in GETS if "track" in each.stem or "push" in each.stem],
    ids=lambda path: path.stem,
)
def test_the_events_that_come_as_gets_are_taken(path: Path) -> None:
    """What the legacy SDKs send one by one is accepted, for its account and key and no other."""
    target = json.loads(path.read_text("utf-8"))["target"]
    sent = Request("GET", target, [], b"", 1.0)
    account, key = sent.query["account_id"], sent.query["env"]

    assert is_event_get(sent.path)
    assert [
        judge_event_get(sent, accounts).status
        for accounts in ({account: key}, {account: "other"}, {"1": key}, None)
    ] == [200, 400, 400, 200]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/eu01/server-side/push?account_id=7&env=K&u=A&sId=1&tags=%7B%7D", 200),
        ("/server-side/push?account_id=7&env=K&u=A&sId=1", 400),
        ("/server-side/push?account_id=7&u=A&sId=1&tags=%7B%7D", 400),
        ("/server-side/track-user?account_id=7&env=K&u=A&sId=1&combination=1", 400),
        ("/server-side/track-goal?account_id=7&env=K&u=A&sId=1&combination=1&experiment_id=2", 400),
    ],
)
def test_an_event_that_comes_as_a_get_is_whole(target: str, status: int) -> None:
    """What an event of its kind must say is there, as are account and key; a region may lead."""
    sent = Request("GET", target, [], b"", 1.0)

    assert judge_event_get(sent, {"7": "K"}).status == status
    assert sent.region == ("eu01" if target.startswith("/eu01") else "")
