"""The console's core: who may do what, what each answer carries, and what a look costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from typing import Any

import msgspec
import pytest

from tools.queue_states import HOLDS_SOMETHING, OPERATOR, Queues
from tools.redis_commands import commands_sent
from tools.visiting import FORM, OWN, Browser, by_asgi, by_wsgi, directly, document, header
from vwo_celery.console import ROLES, Console, Request, Response
from vwo_celery.console.access.headers import POLICY
from vwo_celery.console.actions import ACTIONS
from vwo_celery.console.api.questions import QUESTIONS
from vwo_celery.console.doors.asgi import MOST_ANSWERS, asgi_app
from vwo_celery.console.shared import sources
from vwo_celery.console.shared.exchange import MOST_BODY_BYTES
from vwo_celery.operating.past.audit import changes, recorded
from vwo_celery.settings import Settings

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)

DOORS = (directly, by_wsgi, by_asgi)
AWAY = "redis://127.0.0.1:1/0"


def orders(queue: str, batch: str) -> dict[str, dict[str, Any]]:
    """An order for each action; those of jobs and of the dead are refused later than by a role."""
    queues = {"queues": [queue]}
    return {
        "flush": queues, "pause": queues, "resume": queues, "retry": queues,
        "redrive": {"batches": 0}, "purge": {"batches": 0, "until_ms": 1}, "stop": {"job": "none"},
        "redrive-events": {"batch": batch, "places": [9]},
        "purge-events": {"batch": batch, "places": [9]},
        "export": {"filter": "batch:none"},
    }  # fmt: skip


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
@pytest.mark.parametrize("role", [None, *ROLES], ids=str)
def test_each_role_does_what_it_may_and_nothing_else(
    queues: Queues, role: str | None, door: Callable[..., Any]
) -> None:
    """What a role may not do is refused with 403 through each door, and changes nothing."""
    queue = queues.add()
    queues.fill(queue, 5)
    batch = queues.kill(queue, "HTTP 413").id
    browser = Browser(queues.settings, role, door=door)
    given = orders(queue.name, batch)
    rights = ROLES[role] if role else frozenset()

    for name, action in ACTIONS.items():
        answers = [
            browser.post(f"api/v1/{name}", given[name]),
            browser.submit(f"do/{name}", **given[name]),
        ]

        may = action.right in rights
        assert [answer.status != 403 for answer in answers] == [may, may], name
    done = {change.command for change in changes(queues.fleet)}
    assert done == (
        {"flush", "pause", "resume", "retry"} if role in ("operator", "purge") else set()
    )


@pytest.mark.parametrize("role", [None, *ROLES], ids=str)
def test_each_role_sees_what_it_may(queues: Queues, role: str | None) -> None:
    """A question takes its right; nobody without the right to peek gets a byte of an event."""
    queue = queues.add()
    assert queue.enqueue({"secret": "in-an-event", "sdk": queue.destination.sdk_key})
    queues.fill(queue, 4)
    batch = queues.kill(queue, "HTTP 413").id
    browser = Browser(queues.settings, role)
    rights = ROLES[role] if role else frozenset()

    for question in QUESTIONS:
        path = question.path.format(queue=queue.name, batch=batch)
        answer = browser.get(f"api/v1/{path}")

        assert answer.status == (200 if question.right in rights else 403), path
        assert queue.destination.sdk_key.encode() not in answer.body
        if role in (None, "viewer"):
            assert b"in-an-event" not in answer.body


def test_filters_on_events_take_the_right_to_peek(queues: Queues) -> None:
    """Whoever may not see events cannot find them out by asking for them, either."""
    queues.add()

    for path in ("dead?filter=visitor:alice", "dead/count?filter=event:purchase"):
        assert Browser(queues.settings, "viewer").get(f"api/v1/{path}").status == 403
        assert Browser(queues.settings, "peek").get(f"api/v1/{path}").status == 200


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
@pytest.mark.parametrize(
    "headers",
    [
        {}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.test"}, {"authorization": "Basic YWxpY2U6c2VjcmV0"},
    ],
    ids=str,
)  # fmt: skip
def test_another_sites_form_changes_nothing(
    queues: Queues, headers: dict[str, str], door: Callable[..., Any]
) -> None:
    """A change that did not come from a page of ours is refused with 403, and nothing is done."""
    queue, browser = queues.add(), Browser(queues.settings, door=door)
    form = f"queues={queue.name}".encode()

    answers = [
        browser.send("POST", "do/pause", form, {"content-type": FORM, **headers}),
        browser.send("POST", "api/v1/pause", msgspec.json.encode({"every": True}), headers),
    ]

    assert [answer.status for answer in answers] == [403, 403]
    assert queues.view(queue).paused == ""
    assert changes(queues.fleet) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 200), ("HEAD", "", 200), ("GET", "nothing", 404), ("PUT", "", 405),
        ("OPTIONS", "api/v1/status", 405), ("POST", "do/nothing", 404), ("GET", "do/pause", 404),
        ("GET", "api/v1/dead?filter=died:soon", 400), ("GET", "api/v1/dead?most=0", 400),
        ("GET", "api/v1/status?every=1", 400), ("GET", "api/v1/queues?queue=none", 404),
        ("GET", "static/../console.py", 404), ("GET", "static/nothing.css", 404),
        ("POST", "api/v1/pause", 400),
    ],
)  # fmt: skip
def test_every_answer_is_guarded(queues: Queues, method: str, path: str, status: int) -> None:
    """Whatever is asked, the answer keeps the browser to our own files, and says what is wrong."""
    answer = Browser(queues.settings).send(method, path, b"", dict(OWN))

    assert answer.status == status
    assert header(answer, "Content-Security-Policy") == POLICY
    assert header(answer, "X-Content-Type-Options") == "nosniff"
    assert header(answer, "Cache-Control") in ("private, no-store", "no-cache")
    if path.startswith("api/") and status >= 400:
        assert document(answer).keys() == {"error", "remedy"}


def test_a_body_is_bounded(queues: Queues) -> None:
    """A request with more than a form can need is refused, through each door."""
    for door in DOORS:
        browser = Browser(queues.settings, door=door)

        answer = browser.send("POST", "do/pause", b"x" * (MOST_BODY_BYTES + 7), dict(OWN))

        assert answer.status == 413


def test_the_place_without_its_slash_leads_to_the_one_with_it(queues: Queues) -> None:
    """Links are relative, so the first page stands below its place, whatever that is."""
    console = Browser(queues.settings).console

    answer = console.respond(Request("GET", "", prefix="/ops/vwo"))

    assert (answer.status, header(answer, "Location")) == (303, "vwo/")


def test_what_the_browser_has_is_not_sent_again(queues: Queues) -> None:
    """The same page is answered 304, and a change of it is sent."""
    queue, browser = queues.add(), Browser(queues.settings)
    tag = str(header(browser.get("api/v1/openapi.json"), "ETag"))
    assert tag == "None", "documents have none"
    first = browser.get("")

    again = browser.get("", if_none_match=str(header(first, "ETag")))

    assert first.status == 200
    assert again.status in (200, 304)
    assert (again.body == b"") == (again.status == 304)
    assert queue.name.encode() in first.body


def test_status_is_the_commands(queues: Queues, run: Callable[..., Any]) -> None:
    """The API's documents are those of the command line, byte for byte but times."""
    queues.fill(queues.add(), 7)
    browser = Browser(queues.settings)

    for path, words in (("status", "status"), ("queues", "queues"), ("jobs", "jobs")):
        by_api = browser.get(f"api/v1/{path}").body.decode()
        by_command = run(*words.split(), "--json").stdout

        assert still(by_api) == still(by_command)
    for path, words in (("workers", "workers"), ("health", "health"), ("audit", "audit")):
        by_command = run(*words.split(), "--json").stdout
        assert document(browser.get(f"api/v1/{path}")) == msgspec.json.decode(by_command)


def still(text: str) -> list[str]:
    """The lines of a document without its times."""
    return [line for line in text.splitlines() if "seconds" not in line and "_ms" not in line]


def test_many_who_look_cost_what_one_costs(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches, one look a second serves them all; also those who ask for findings."""
    queue = queues.add()
    queues.fill(queue, 5)
    browser, now = Browser(queues.settings), [100.0]
    monkeypatch.setattr(sources, "monotonic", lambda: now[0])
    births = queues.shard(queue).keys.births
    queues.views()  # Redis has the script then
    paths = ("", "api/v1/status", "api/v1/findings") * 20

    with commands_sent(queues.client) as sent, ThreadPoolExecutor(8) as threads:
        for looks in (1, 2):
            assert {each.status for each in threads.map(browser.get, paths)} == {200}
            glances = [each for each in sent() if each.startswith("EVALSHA") and births in each]
            assert len(glances) == looks
            now[0] += sources.LOOK_SECONDS


def test_redis_away_is_a_page_with_a_remedy() -> None:
    """While Redis cannot be used, pages and documents say so with 503, and only `/readyz` fails."""
    browser = Browser(Settings(redis_url=AWAY))

    page, status = browser.get(""), browser.get("api/v1/status")

    assert page.status == 503
    assert b"cannot be used" in page.body
    assert status.status == 503
    assert document(status)["remedy"]
    assert browser.get("healthz").status == 200
    assert browser.get("readyz").status == 503
    assert document(browser.get("api/v1/findings"))[-1]["state"] in ("ok", "problem")


def test_probes_need_nobody_and_tell_nothing(queues: Queues) -> None:
    """Whoever may not come in may see whether it runs, and no more."""
    browser = Browser(queues.settings, None)

    assert browser.get("healthz").body == b"ok\n"
    assert browser.get("readyz").body == b"ok\n"
    assert browser.get("metrics").status == 403


def test_an_error_of_ours_is_an_answer(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody thought of is answered 500 without its text, and logged."""
    browser = Browser(queues.settings)
    monkeypatch.setattr(Console, "_route", lambda *_: 1 / 0)

    answer = browser.get("api/v1/status")

    assert answer.status == 500
    assert "ZeroDivisionError" in document(answer)["error"]
    assert "division by zero" not in answer.body.decode()
    assert "division by zero" in caplog.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"api/v1/dead?most={'9' * 5_000}", 400), (f"api/v1/dead?{'filter=a&' * 1_001}", 400),
        (f"?{'a=1&' * 1_001}", 400),
    ],
    ids=["number", "fields", "fields of a page"],
)  # fmt: skip
def test_a_query_that_cannot_be_read_is_refused(queues: Queues, path: str, status: int) -> None:
    """More digits than Python reads, and more fields than any page has, are the asker's mistake."""
    assert Browser(queues.settings).get(path).status == status


@pytest.mark.parametrize(
    ("path", "kind", "body", "status"),
    [
        ("api/v1/pause", "application/json", b'{"queues": ["\xff"]}', 400),
        ("do/pause", FORM, b"a=1&" * 1_001, 400), ("do/redrive", "text/plain", b"hello", 415),
        ("do/redrive", "multipart/form-data; boundary=b", b"--b--", 415),
    ],
    ids=["no UTF-8", "fields", "text", "files"],
)  # fmt: skip
def test_an_order_that_cannot_be_read_changes_nothing(
    queues: Queues, path: str, kind: str, body: bytes, status: int
) -> None:
    """A form of another kind is not taken for one without fields, which would mean all dead letters."""
    queues.fill(queue := queues.add(), 5)
    queues.kill(queue, "HTTP 413")

    answer = Browser(queues.settings).send("POST", path, body, {"content-type": kind, **OWN})

    assert answer.status == status
    assert changes(queues.fleet) == []


def test_a_count_of_long_ago_is_of_long_ago(queues: Queues) -> None:
    """What died after the moment of the count is left alone, also where that moment is the first."""
    queues.fill(queue := queues.add(), 5)
    queues.kill(queue, "HTTP 413")

    answer = Browser(queues.settings).post("api/v1/purge", {"batches": 1, "until_ms": 0})

    assert answer.status == 409
    assert "no dead letter matches" in document(answer)["error"]


@pytest.mark.parametrize("operation", ["redrive", "purge"])
def test_a_full_redis_takes_no_job_and_the_remedy_needs_none(
    queues: Queues, operation: str
) -> None:
    """A purge gives a full Redis room: where no job can be stored, the answer says what needs none."""
    queues.fill(queue := queues.add(), 5)
    queues.kill(queue, "HTTP 413")
    browser = Browser(queues.settings)
    counted = document(browser.get("api/v1/dead/count"))["counted"]
    order = {"batches": 1, "until_ms": counted["until_ms"]}
    queues.client.config_set("maxmemory", 1_000_000)
    try:
        answer = browser.post(f"api/v1/{operation}", order)
    finally:
        queues.client.config_set("maxmemory", 0)

    assert answer.status == 503
    assert "nothing was changed" in document(answer)["error"]
    assert document(answer)["remedy"] == f"vwo-celery dead {operation} does without a job"


def test_masks_hold_for_everybody(queues: Queues) -> None:
    """Values of the keys that an operator named are shown to nobody; what is no JSON, not at all."""
    masked = Settings(redis_url=queues.settings.redis_url, console_mask=("visId", "uuid"))
    queue = queues.add()
    assert queue.enqueue({"d": {"visId": "V1", "event": {"uuid": ["U1"], "name": "n1"}}})
    queues.client.lpush(queues.shard(queue).keys.open, "visId=V2")

    answer = Browser(masked).get(f"api/v1/queues/{queue.name}/events?most=10")

    assert answer.status == 200
    assert b"n1" in answer.body
    for hidden in (b"V1", b"U1", b"V2"):
        assert hidden not in answer.body


def test_visitors_in_filters_are_masked_for_viewers(queues: Queues) -> None:
    """A filter names visitors; who may not see events does not see whom somebody looked for."""
    queue = queues.add()
    queues.fill(queue, 5)
    batch = queues.kill(queue, "HTTP 413").id
    browser = Browser(queues.settings)
    with recorded(queues.fleet, OPERATOR, "dead redrive", filter=f"batch:{batch} visitor:bob"):
        pass

    seen = document(browser.get("api/v1/audit"))[0]["filter"]
    unseen = document(Browser(queues.settings, "viewer").get("api/v1/audit"))[0]["filter"]

    assert seen == f"batch:{batch} visitor:bob"
    assert unseen == f"batch:{batch} visitor:…"


def test_a_probe_is_answered_while_others_hang() -> None:
    """While many wait for a Redis that hangs, whoever asks whether the process lives gets an answer."""
    release, hanging = Event(), Semaphore(0)

    def respond(request: Request) -> Response:
        if request.path != "/healthz":
            hanging.release()
            assert release.wait(60)
        return Response(200, body=b"ok")

    app = asgi_app(respond)

    async def ask(path: str) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app(scope, receive, send)
        return sent

    async def look() -> bytes:
        others = [asyncio.create_task(ask("/")) for _ in range(MOST_ANSWERS - 1)]
        for _ in others:
            await asyncio.to_thread(hanging.acquire)
        start, body = await ask("/healthz")
        assert start["status"] == 200
        release.set()
        await asyncio.gather(*others)
        return bytes(body["body"])

    assert asyncio.run(look()) == b"ok"
