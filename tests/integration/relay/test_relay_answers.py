"""What the relay accepts, what it refuses and in which words, and what an answer of 200 promises."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tools.relays import EVENT, FME, KEY, LEGACY, all_stored, relaying, stored
from tools.waiting import wait_until
from vwo_celery.connections import open_client
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.tallies import read_tallies
from vwo_celery.relay.telling.counts import counted
from vwo_celery.testing import RedisServer, free_port

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)

ITEM = b'{"u":"A","sId":1}'
ONE = b'{"ev":[' + ITEM + b"]}"
LATIN_1 = {"Content-Type": "text/plain; charset=ISO-8859-1"}
WINDOWS = {"Content-Type": 'text/plain;charset="windows-1252"'}
GZIP = {"Content-Encoding": "gzip"}


def message(body: bytes) -> str:
    """The message of a refusal, which stands under both names that SDKs read."""
    said = json.loads(body)
    assert said["message"] == said["error"]
    return str(said["message"])


# -- what is accepted


@pytest.mark.parametrize(
    ("body", "headers", "kept"),
    [
        (ONE, {}, ITEM),
        (ONE, {"Content-Type": "text/plain"}, ITEM),
        (b' {"eventProps": {"ev": 1}, "ev": [ {"u" : "A"} ] } ', {}, b'{"u" : "A"}'),
        ('{"ev":[{"u":"é"}]}'.encode(), {}, '{"u":"é"}'.encode()),
        (b'\xef\xbb\xbf{"ev":[{"u":"\xc3\xa9"}]}', {}, '{"u":"é"}'.encode()),
        (b'{"ev":[{"u":"\xe9"}]}', {}, '{"u":"é"}'.encode()),
        (b'{"ev":[{"u":"\xe9"}]}', LATIN_1, '{"u":"é"}'.encode()),
        (b'{"ev":[{"u":"\xc3\xa9"}]}', LATIN_1, '{"u":"Ã©"}'.encode()),
        (b'{"ev":[{"u":"\x80"}]}', WINDOWS, '{"u":"€"}'.encode()),
        (b'{"ev":[{"u":"\\ud800"}]}', {}, b'{"u":"\\ud800"}'),
        (b'{"ev":[{"n":1e999}]}', {}, b'{"n":1e999}'),
        (gzip.compress(ONE, mtime=0), GZIP, ITEM),
        (gzip.compress(ONE[:9], mtime=0) + gzip.compress(ONE[9:], mtime=0), GZIP, ITEM),
        (ONE, {"Content-Encoding": "identity"}, ITEM),
    ],
)  # fmt: skip
def test_a_body_is_taken_whatever_its_form(
    body: bytes, headers: dict[str, str], kept: bytes, redis_url: str
) -> None:
    """Any Content-Type, UTF-8 or Latin-1, gzip or not: the event is stored in UTF-8, else unchanged."""
    with relaying(redis_url) as relay:
        answer = relay.post(LEGACY, body, headers)

    assert answer.status == 200
    assert all_stored(redis_url) == [kept]


def test_an_empty_batch_is_accepted(redis_url: str) -> None:
    """SDKs send empty batches; nothing is stored."""
    with relaying(redis_url) as relay:
        assert relay.post(FME, b'{"ev":[]}').status == 200

    assert all_stored(redis_url) == []


@pytest.mark.parametrize(
    ("target", "body", "kept", "lost"),
    [
        (LEGACY, b'{"ev":[1,{"u":"A"},[{}]]}', [b'{"u":"A"}'], {"not_an_object": 2}),
        (FME, b'{"ev":[{"u":"A"},{"d":{}},{"d":1}]}', [b'{"d":{}}'], {"not_an_object": 2}),
        (FME, b'{"ev":[{"x":1, "d" : {"a":1}},{"d":{"n":NaN}}]}', [b'{"x":1, "d" : {"a":1}}'],
         {"not_json": 1}),
        (LEGACY, b'{"ev":[{"n":1},{"n":"a\nb"}],"x":{"ev":[]}}', [b'{"n":1}'], {"not_json": 1}),
        (LEGACY, b'{"ev":[' + b'{"a":' * 600 + b"1" + b"}" * 600 + b',{"u":"A"}]}', [b'{"u":"A"}'],
         {"not_json": 1}),
    ],
)  # fmt: skip
def test_an_item_that_is_no_event_is_lost_alone(
    target: str, body: bytes, kept: list[bytes], lost: dict[str, int], redis_url: str
) -> None:
    """The others are stored and answered 200, else the SDK would send them for ever; it is counted."""
    before = counted.lost.copy()
    with relaying(redis_url) as relay:
        answer = relay.post(target, body)

    assert answer.status == 200
    assert all_stored(redis_url) == kept
    assert counted.lost - before == lost


def test_a_phone_uploads_all_it_has(redis_url: str) -> None:
    """Android sends what it kept offline in one request of any number; others have VWO's limit."""
    body = b'{"ev":[' + b",".join(b'{"d":{"n":%d}}' % n for n in range(5001)) + b"]}"
    with relaying(redis_url, relay_events_per_request=5000, enqueue_timeout_seconds=10) as relay:
        refused = [relay.post(f"{FME}{more}", body) for more in ("", "&opt=1", "&sn=vwo-fme-x")]
        assert all_stored(redis_url) == []
        phones = ("&sn=vwo-fme-x&pt=android", "&sn=vwo-fme-android-sdk", "&sn=wingify-fme-ios-sdk")
        accepted = [relay.post(f"{FME}{more}", body).status for more in phones]

    said = [(answer.status, message(answer.body)) for answer in refused]
    assert said == [(413, "Payload size too large")] * 3
    assert accepted == [200] * 3
    assert len(all_stored(redis_url)) == 3 * 5001


def test_large_events_in_a_large_body(redis_url: str) -> None:
    """A body of nearly ten megabytes is stored whole."""
    item = b'{"d":{"x":"' + b"x" * 1_990_000 + b'"}}'
    with relaying(redis_url, relay_events_per_request=5000) as relay:
        assert relay.post(FME, b'{"ev":[' + b",".join([item] * 5) + b"]}").status == 200

    assert all_stored(redis_url) == [item] * 5


# -- what is refused

DEEP = b'{"ev":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}"


@pytest.mark.parametrize(
    ("target", "body", "headers", "status", "said"),
    [
        (LEGACY, b"", {}, 400, "the body is not JSON of the kind that this path takes"),
        (LEGACY, b"{", {}, 400, "the body is not JSON of the kind that this path takes"),
        (LEGACY, ONE + b"x", {}, 400, "the body is not JSON of the kind that this path takes"),
        (LEGACY, DEEP, {}, 400, "the body is not JSON of the kind that this path takes"),
        (LEGACY, b"[]", {}, 400, 'the body has no list "ev"'),
        (LEGACY, b"{}", {}, 400, 'the body has no list "ev"'),
        (LEGACY, b'{"ev":{},"x":"\\ud800"}', {}, 400, 'the body has no list "ev"'),
        (LEGACY, b'{"ev":[1]}', {}, 400, "no item of the body is an event of this path"),
        (FME, ONE, {}, 400, "no item of the body is an event of this path"),
        (EVENT, b'{"d":1}', {}, 400, 'the body has no object "d"'),
        (EVENT, b"[]", {}, 400, "the body is not JSON of the kind that this path takes"),
        (EVENT, b'{"d":{"n":NaN}}', {}, 400, "the body is not JSON of the kind that this path takes"),
        (LEGACY, ONE, {"Authorization": "c" * 32}, 400,
         "Invalid api key: the request names different keys"),
        (f"{LEGACY}&i={'c' * 32}", ONE, {}, 400, "Invalid api key: the request names different keys"),
        (LEGACY.replace(KEY, ""), ONE, {}, 400, "Invalid api key"),
        (LEGACY.replace("888888", "shop"), ONE, {}, 400, "Invalid api key"),
        (LEGACY, b"x", GZIP, 400, "the body is no whole gzip stream"),
        (LEGACY, gzip.compress(ONE, mtime=0)[:-9], GZIP, 400, "the body is no whole gzip stream"),
        (LEGACY, gzip.compress(b" " * 11_000_000, mtime=0), GZIP, 413, "Payload size too large"),
        (LEGACY, ONE, {"Content-Encoding": "br"}, 415,
         "the body's encoding is neither gzip nor identity"),
        ("/", ONE, {}, 404, "unknown path"),
        (f"/a/b{LEGACY}", ONE, {}, 404, "unknown path"),
        (f"/{'a' * 17}{LEGACY}", ONE, {}, 404, "unknown path"),
        (LEGACY.replace("?", "/?"), ONE, {}, 404, "unknown path"),
        ("/eu01/healthz", ONE, {}, 404, "unknown path"),
        ("/server-side/track-user?a=1", ONE, {}, 405, "this path takes GET only"),
    ],
)  # fmt: skip
def test_what_is_refused(
    target: str, body: bytes, headers: dict[str, str], status: int, said: str, redis_url: str
) -> None:
    """The answer says why, in VWO's words where they are known; nothing is stored, and no key shows."""
    with relaying(redis_url) as relay:
        answer = relay.post(target, body, headers)

    assert (answer.status, message(answer.body)) == (status, said)
    assert KEY.encode() not in answer.body
    assert all_stored(redis_url) == []


GET = f"account_id=888888&env={KEY}&u=A&sId=1"


@pytest.mark.parametrize(
    ("target", "field"),
    [
        (f"track-user?{GET}&experiment_id=1", "combination"),
        (f"track-user?{GET}&combination=1&experiment_id=", "experiment_id"),
        (f"track-user?{GET}&combination=1&experiment_id=1.5", "experiment_id"),
        (f"track-goal?{GET}&combination=1&experiment_id=1", "goal_id"),
        (f"track-goal?{GET.replace('sId=1', 'sId=x')}&combination=1&experiment_id=1", "sId"),
        (f"track-user?{GET.replace('u=A', 'u=')}&combination=1&experiment_id=1", "u"),
        (f"push?{GET}", "tags"),
        (f"push?{GET}&tags=%22a%22", "tags"),
        (f'push?{GET}&tags={{"u":', "tags"),
    ],
)
def test_a_get_needs_its_fields(target: str, field: str, redis_url: str) -> None:
    """A field that is missing, or is no number where VWO wants one, is named."""
    with relaying(redis_url) as relay:
        answer = relay.get(f"/server-side/{target}")

    assert answer.status == 400
    assert message(answer.body).startswith(f"{field} is missing")


def test_methods_are_held(redis_url: str) -> None:
    """A path takes one method, and says which."""
    with relaying(redis_url) as relay:
        assert relay.post(LEGACY, ONE).status == 200
        answers = [
            relay.get(LEGACY),
            relay.get(LEGACY, method="PUT"),
            relay.get(LEGACY, method="OPTIONS"),
        ]

    assert [(answer.status, answer.headers["allow"]) for answer in answers] == [(405, "POST")] * 3
    assert len(all_stored(redis_url)) == 1


# -- what 200 promises


def test_no_answer_of_success_where_nothing_took_the_events(redis_url: str) -> None:
    """Without Redis and without a spool the answer is 503, with a time after which to send again."""
    with relaying(f"redis://127.0.0.1:{free_port()}/0", spool_dir="") as relay:
        answers = [
            relay.post(target, ONE if target == LEGACY else b'{"d":{}}')
            for target in (LEGACY, EVENT)
        ]
        ready = relay.get("/readyz")
        healthy = relay.get("/healthz")

    assert [(each.status, each.headers["retry-after"]) for each in answers] == [(503, "2")] * 2
    assert (ready.status, healthy.status) == (503, 200)


def test_a_spooled_event_is_accepted() -> None:
    """While Redis is away this host's disk keeps the events, and the relay is ready."""
    before = counted.spooled
    with relaying(f"redis://127.0.0.1:{free_port()}/0") as relay:
        assert relay.post(LEGACY, ONE).status == 200
        assert relay.get("/readyz").status == 200

    assert counted.spooled - before == 1


def test_not_ready_while_the_disk_takes_nothing(tmp_path: Path) -> None:
    """A folder that cannot be made is known from the first event that needs it."""
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / "spool")
    with relaying(f"redis://127.0.0.1:{free_port()}/0", spool_dir=folder) as relay:
        statuses = [relay.post(LEGACY, ONE).status, relay.get("/readyz").status]

    assert statuses == [503, 503]


@pytest.mark.parametrize("when_full", ["raise", "drop_newest"])
def test_a_full_queue_is_no_success(when_full: Any, redis_url: str) -> None:
    """Events that a full queue does not take are answered 503."""
    body = b'{"ev":[' + b",".join([ITEM] * 3) + b"]}"
    with relaying(redis_url, when_full=when_full, max_queue_events=5, spool_dir="") as relay:
        assert relay.post(LEGACY, body).status == 200
        assert relay.post(LEGACY, body).status == 503

    assert len(all_stored(redis_url)) == 3


def test_a_batch_of_many_pages_is_stored_in_order(redis_url: str) -> None:
    """More events than one command to Redis takes keep their order, and are each stored once."""
    items = [b'{"n":%d}' % n for n in range(2500)]
    with relaying(redis_url, relay_events_per_request=5000) as relay:
        assert relay.post(LEGACY, b'{"ev":[' + b",".join(items) + b"]}").status == 200

    assert all_stored(redis_url) == items


def test_ready_while_redis_takes_events(redis_url: str) -> None:
    """Both probes answer 200, without an account."""
    with relaying(redis_url) as relay:
        for path in ("/healthz", "/readyz"):
            assert [relay.get(path, method=method).status for method in ("GET", "HEAD")] == [
                200
            ] * 2


@pytest.mark.parametrize(("option", "value"), [("maxmemory", 1), ("min-replicas-to-write", 3)])
def test_not_ready_while_redis_only_answers(option: str, value: int) -> None:
    """A Redis that answers, and takes nothing, makes no relay ready; its disk does."""
    with RedisServer(maxmemory_bytes=100_000_000) as server:
        client = open_client(server.url, timeout_seconds=5.0)
        client.config_set(option, value)
        client.close()
        with relaying(server.url, spool_dir="") as relay:
            statuses = [relay.post(LEGACY, ONE).status, relay.get("/readyz").status]
        with relaying(server.url) as relay:
            with_disk = [relay.post(LEGACY, ONE).status, relay.get("/readyz").status]

    assert (statuses, with_disk) == ([503, 503], [200, 200])


def test_no_key_is_logged(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """No line of any log holds the key of a request, accepted or not."""
    caplog.set_level(logging.DEBUG)
    with relaying(redis_url) as relay:
        relay.post(LEGACY, ONE)
        relay.post(LEGACY, b"{", {"Authorization": KEY})
        relay.post(f"{LEGACY}&sdk=\xe9", ONE)
        relay.ask(f"GARBAGE {LEGACY}\r\n\r\n".encode())

    assert KEY not in caplog.text


# -- browsers

ORIGIN = {"Origin": "https://shop.example"}
VISITOR = b'{"d":{"event":{"props":{"vwo_sdkName":"vwo-fme-javascript-sdk"}}}}'


def test_a_browser_of_an_allowed_origin_may_send(redis_url: str) -> None:
    """A preflight and the request itself are answered with the origin; text/plain needs no preflight."""
    with relaying(redis_url, relay_allowed_origins=["https://shop.example"]) as relay:
        asked = relay.get(EVENT, {**ORIGIN, "Access-Control-Request-Method": "POST"}, "OPTIONS")
        sent = relay.post(EVENT, VISITOR, {**ORIGIN, "Content-Type": "text/plain"})
        refused = relay.post(EVENT, b"{", ORIGIN)

    assert (asked.status, sent.status, refused.status) == (204, 200, 400)
    for answer in (asked, sent, refused):
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "POST" in asked.headers["access-control-allow-methods"]


def test_no_other_origin_may_read(redis_url: str) -> None:
    """Another origin's page gets no header that lets it read, and no preflight."""
    other = {"Origin": "https://other.example"}
    with relaying(redis_url, relay_allowed_origins=["https://shop.example"]) as relay:
        assert relay.get(EVENT, other, "OPTIONS").status == 405
        assert "access-control-allow-origin" not in relay.post(EVENT, VISITOR, other).headers


@pytest.mark.parametrize(
    ("origins", "body", "kept"),
    [
        (["*"], VISITOR, b'{"d":{"visitor_ua":"Browser","visitor_ip":"127.0.0.1",' + VISITOR[6:]),
        (["*"], b'{"d":{"visitor_ip":"1.2.3.4"}}',
         b'{"d":{"visitor_ua":"Browser","visitor_ip":"1.2.3.4"}}'),
        (["*"], b'{"d":{}}', b'{"d":{"visitor_ua":"Browser","visitor_ip":"127.0.0.1"}}'),
        ([], VISITOR, VISITOR),
    ],
)  # fmt: skip
def test_a_browsers_event_names_its_visitor(
    origins: list[str], body: bytes, kept: bytes, redis_url: str
) -> None:
    """With dh=1 VWO takes user agent and address from the request; the item says them, where missing."""
    with relaying(redis_url, relay_allowed_origins=origins) as relay:
        relay.post(f"{EVENT}&dh=1", body, {"User-Agent": "Browser"})

    assert all_stored(redis_url) == [kept]


def test_lost_items_show_in_the_queues_own_count(redis: redis_py.Redis, redis_url: str) -> None:
    """Whoever looks at the queue sees what was lost, and why."""
    with relaying(redis_url) as relay:
        relay.post(LEGACY, b'{"ev":[1,{"u":"A"}]}')
        relay.post(LEGACY, ONE)

    (destination,) = stored(redis_url)
    shard = Fleet(redis, "vwo").shard(destination.queue, 0)

    def lost() -> dict[str, int]:
        told = read_tallies([shard])[0].unaccepted
        return {reason: each.events for reason, each in told.items()}

    assert wait_until(lost, what="the count") == {"not_an_object": 1}
