"""The stand-in over real sockets: it serves, records, and fails as told."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tools.waiting import wait_until
from vwo_celery.testing import Fault, Standin

EVENT: dict[str, Any] = {"u": "A" * 32, "sId": 1_795_307_390, "c": 2, "e": 101, "eT": 1}


def post(
    standin: Standin, events: Any = (EVENT,), *, timeout: float = 5, **options: Any
) -> requests.Response:
    """POST a valid batch."""
    return requests.post(
        f"{standin.url}/server-side/batch-events",
        params={"a": "7", "env": "KEY"},
        headers={"Authorization": "KEY"},
        json={"ev": list(events)},
        timeout=timeout,
        **options,
    )


def test_a_recorded_request_is_taken_as_it_was_sent(captures: Path, standin: Standin) -> None:
    """Every request recorded from the SDKs is answered with 200; bytes and header order are kept."""
    recorded: list[dict[str, Any]] = [
        json.loads(p.read_text("utf-8")) for p in sorted(captures.glob("*_*.json"))
    ]
    sent = [capture for capture in recorded if "body_text" in capture]

    for capture in sent:
        connection = http.client.HTTPConnection(standin.netloc, timeout=5)
        connection.putrequest("POST", capture["target"], skip_host=True, skip_accept_encoding=True)
        for name, value in capture["headers"]:
            connection.putheader(name, value)
        connection.endheaders(capture["body_text"].encode())
        assert connection.getresponse().status == 200
        connection.close()

    assert len(sent) == 21
    assert [request.target for request in standin.batches] == [c["target"] for c in sent]
    assert [request.query for request in standin.batches] == [c["query"] for c in sent]
    assert [[list(h) for h in r.headers] for r in standin.batches] == [c["headers"] for c in sent]
    assert standin.events == [event for c in sent for event in c["body_json"]["ev"]]


def test_what_arrives_is_recorded_and_counted(standin: Standin) -> None:
    """A test sees each request with its status; /stats has the same counts as JSON."""
    answers = [
        post(standin).status_code,
        post(standin).status_code,
        post(standin, [{}]).status_code,
    ]
    stats = requests.get(f"{standin.url}/stats", timeout=5).json()

    assert answers == [200, 200, 400]
    assert [request.status for request in standin.requests] == answers
    assert standin.events == [EVENT, EVENT]
    assert standin.requests[0].header("AUTHORIZATION") == "KEY"
    assert (stats["requests"], stats["events"], stats["duplicates"]) == (3, 2, 1)
    assert stats["rejected_by_status"] == {"400": 1}
    assert stats["first_at"] <= stats["last_at"] <= time.time()
    assert stats["delay_seconds"]["p50"] == pytest.approx(time.time() - EVENT["sId"], abs=60)


def test_only_counts_are_kept_where_recording_is_off() -> None:
    """With recording off, only counts are kept: a long run does not use more and more memory."""
    with Standin(record=False) as standin:
        post(standin)

        assert standin.requests == []
        assert standin.stats().events == 1


def test_known_accounts_are_enforced() -> None:
    """With a list of accounts, any other account or key is answered as VWO does."""
    with Standin(accounts={7: "KEY"}) as right, Standin(accounts={8: "KEY"}) as wrong:
        assert post(right).status_code == 200
        assert post(wrong).status_code == 400


def test_an_sdk_gets_its_settings(captures: Path) -> None:
    """Settings are served at the path that an SDK requests at start, with or without a region."""
    settings = json.loads((captures / "settings_fme.json").read_text("utf-8"))
    with Standin(settings=settings) as standin:
        for region in ("", "/eu01"):
            url = f"{standin.url}{region}/server-side/v2-settings?a=888888&i=KEY&r=0.1"
            assert requests.get(url, timeout=5).json() == settings


@pytest.mark.parametrize("region", ["", "/eu01"])
@pytest.mark.parametrize("path", ["settings", "pull", "v2-settings", "v2-pull"])
def test_settings_are_those_of_the_generation(path: str, region: str) -> None:
    """FME SDKs ask at paths with v2 and get their settings, at the start as after a webhook."""
    legacy, fme = {"accountId": 7, "version": 1}, {"accountId": 7, "version": 2}
    with Standin(accounts={7: "KEY"}, settings=legacy, fme_settings=fme) as standin:
        answer = requests.get(
            f"{standin.url}{region}/server-side/{path}?a=7&i=KEY&r=0.5", timeout=5
        )

        assert answer.json() == (fme if path.startswith("v2-") else legacy)
        assert answer.headers["Content-Type"] == "application/json"
        assert [request.status for request in standin.fetches] == [200]


@pytest.mark.parametrize("query", ["a=7&i=OTHER", "a=8&i=KEY", "a=7", "i=KEY", ""])
def test_settings_need_a_known_account_and_key(query: str) -> None:
    """A wrong account or key gets VWO's 400, in its words."""
    with Standin(accounts={7: "KEY"}, settings={"accountId": 7}) as standin:
        answer = requests.get(f"{standin.url}/server-side/v2-settings?{query}", timeout=5)

    assert (answer.status_code, answer.json()) == (400, {"message": "Invalid api key"})


def test_settings_can_change_and_fail() -> None:
    """A test can change the settings between two requests, choose by request, and plan faults."""
    with Standin(settings={"version": 1}) as standin:
        url = f"{standin.url}/server-side/settings?a=7&i=KEY"
        standin.fail_fetches(503)

        assert requests.get(url, timeout=5).status_code == 503
        assert requests.get(url, timeout=5).json() == {"version": 1}
        standin.settings = lambda request: {"accountId": int(request.query["a"])}
        assert requests.get(url, timeout=5).json() == {"accountId": 7}


def test_the_gateway_is_played() -> None:
    """What FME SDKs ask a gateway is answered in its shape; an alias is set by POST."""
    with Standin() as standin:
        found = [
            requests.get(f"{standin.url}{path}", timeout=5).json()
            for path in ("/get-user-details", "/check-attribute", "/getLocation")
        ]
        alias = requests.post(f"{standin.url}/user-alias/setUserAlias", json={}, timeout=5)

    assert found[0]["location"] == found[2]
    assert (found[1], alias.json()) == (True, {"isAliasSet": True})


def test_other_paths(standin: Standin) -> None:
    """Health is 200, single events are counted apart, and paths that VWO lacks are 404."""
    health = requests.get(f"{standin.url}/health", timeout=5)
    single = requests.post(f"{standin.url}/events/t?en=x&a=1", json={"d": {}}, timeout=5)
    others = [
        requests.get(f"{standin.url}/server-side/v2-settings", timeout=5),
        requests.get(f"{standin.url}/server-side/batch-events", timeout=5),
        requests.post(f"{standin.url}/server-side/batch", json={}, timeout=5),
    ]

    assert (health.status_code, single.status_code) == (200, 200)
    assert [answer.status_code for answer in others] == [404, 404, 404]
    assert (standin.stats().singles, standin.stats().requests) == (1, 0)


def test_connections_are_kept_and_answers_come_in_one_segment(standin: Standin) -> None:
    """Keep-alive costs no delayed acknowledgement: an answer arrives in one segment."""
    body = json.dumps({"ev": [EVENT]}).encode()
    head = (
        "POST /server-side/batch-events?a=7&env=KEY HTTP/1.1\r\nHost: x\r\nAuthorization: KEY\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((standin.host, standin.port), timeout=5) as connection:
        for _ in range(3):
            connection.sendall(head.encode() + body)
            answer = connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b'{"status":"success"}')


def test_a_body_over_the_bound_is_answered_and_not_just_cut_off(standin: Standin) -> None:
    """A client that sends too much can still read its 413, with VWO's words."""
    answer = post(standin, [{**EVENT, "x": "x" * 10_000_000}])

    assert answer.status_code == 413
    assert answer.json() == {"error": "Payload size too large"}


def test_a_body_without_length_is_refused(standin: Standin) -> None:
    """A chunked body is answered with 411, since VWO is not known to accept one."""
    answer = requests.post(f"{standin.url}/server-side/batch-events", data=iter([b"{}"]), timeout=5)

    assert answer.status_code == 411


def test_planned_statuses_are_used_up_in_order(standin: Standin) -> None:
    """Each planned status meets one batch request; health and settings use up none."""
    standin.fail(503, Fault(status=429, headers=(("Retry-After", "7"),)))

    requests.get(f"{standin.url}/health", timeout=5)
    answers = [post(standin) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 429, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert (standin.stats().events, standin.stats().rejected) == (1, 2)


def test_a_reset_is_a_reset(standin: Standin) -> None:
    """The client sees a TCP reset, and nothing was accepted."""
    standin.fail("reset")

    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        post(standin)

    assert (standin.stats().events, standin.stats().unanswered) == (0, 1)
    assert standin.requests[0].status == 0


def test_an_answer_can_be_lost(standin: Standin) -> None:
    """A lost answer makes duplicates unavoidable: the batch is accepted, and its sender never knows."""
    standin.fail(Fault(connection="reset", accepted=True))

    with pytest.raises(requests.ConnectionError):
        post(standin)
    post(standin)

    assert (standin.stats().events, standin.stats().duplicates) == (2, 1)


def test_a_hanging_request_is_never_answered(standin: Standin) -> None:
    """A hanging request ends by the client's timeout; other connections are answered meanwhile."""
    standin.fail("hang")

    with pytest.raises(requests.ReadTimeout):
        post(standin, timeout=0.2)

    assert post(standin).status_code == 200


def test_a_cut_answer_is_no_answer(standin: Standin) -> None:
    """The connection ends in the middle of the body."""
    standin.fail("cut")

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        post(standin)


def test_a_trickling_answer_outlasts_timeouts_between_bytes(standin: Standin) -> None:
    """Every byte of a trickling answer comes in time: a timeout between bytes never ends it."""
    standin.fail(Fault(connection="trickle", trickle_seconds=0.02))
    started = time.monotonic()

    answer = post(standin, timeout=1)

    assert answer.status_code == 200
    assert time.monotonic() - started > 1


def test_latency_holds_for_every_batch_and_not_for_others() -> None:
    """Batch requests take at least the given latency; /health does not."""
    with Standin(latency_seconds=0.1) as standin:
        batch = post(standin).elapsed.total_seconds()
    with Standin(latency_seconds=60) as slow:
        health = requests.get(f"{slow.url}/health", timeout=30)

    assert batch >= 0.1
    assert health.status_code == 200


def test_an_outage_ends_connections_and_comes_back_on_the_same_port(standin: Standin) -> None:
    """stop() refuses connections and ends hanging requests; start() keeps port, counts and records."""
    port = standin.port
    standin.fail("hang")
    failed: list[Exception] = []

    def hang() -> None:
        try:
            post(standin, timeout=30)
        except requests.ConnectionError as error:
            failed.append(error)

    client = threading.Thread(target=hang)
    client.start()
    wait_until(lambda: standin.requests)
    standin.stop()
    client.join(5)
    with pytest.raises(requests.ConnectionError):
        post(standin)
    standin.start()

    assert len(failed) == 1
    assert post(standin).status_code == 200
    assert standin.port == port
    assert standin.stats().requests == 2


def test_it_runs_as_a_program(tmp_path: Path) -> None:
    """`python -m vwo_celery.testing.standin` prints its address, serves, and ends on SIGTERM."""
    settings = tmp_path / "settings.json"
    settings.write_text('{"accountId": 7}')
    command = [sys.executable, "-m", "vwo_celery.testing.standin", "--port", "0"]
    program = subprocess.Popen(
        [*command, "--settings", str(settings), "--account", "7=KEY"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert program.stdout is not None

    try:
        url = program.stdout.readline().split()[-1]
        served = requests.get(f"{url}/server-side/v2-settings?a=7&i=KEY", timeout=5).json()
        refused = requests.post(
            f"{url}/server-side/batch-events?a=8&env=K",
            headers={"Authorization": "K"},
            json={"ev": []},
            timeout=5,
        )
    finally:
        program.send_signal(signal.SIGTERM)
        _, complaints = program.communicate(timeout=10)

    assert served == {"accountId": 7}
    assert refused.status_code == 400
    assert (program.returncode, complaints) == (0, "")
