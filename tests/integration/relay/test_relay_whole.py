"""Events of the legacy SDKs' event architecture: no form in a batch, so they go on whole and singly."""

from __future__ import annotations

import json

import pytest
import redis as redis_py

from tools.relays import ACCOUNT, KEY, all_stored, relaying, stored
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.destinations import Destination
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.settings import Settings
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups", "leases"
)

TARGET = (
    f"/eu01/events/t?en=vwo_variationShown&a={ACCOUNT}&env={KEY}&eTime=1795703118000"
    "&random=0.12&p=FS&visitor_ua=%252F&visitor_ip="
)
BODY = (
    b'{"d": {"msgId": "m-1", "visId": "v", "sessionId": 1, "event": {"props":'
    b' {"vwo_sdkName": "java", "vwo_sdkVersion": "1.66.0", "id": 1}, "name":'
    b' "vwo_variationShown", "time": 1795703118000}}}'
)
HEADERS = {
    "User-Agent": "java", "X-Device-User-Agent": "Mozilla/5.0", "VWO-X-Forwarded-For": "203.0.113.7"
}  # fmt: skip


def test_it_is_sent_on_as_it_came(redis_url: str) -> None:
    """Target, body and the visitor's headers reach VWO byte for byte, under the account's region."""
    with Standin(accounts={ACCOUNT: KEY}, regions={ACCOUNT: "eu01"}) as vwo:
        with relaying(redis_url, relay_upstream=vwo.url) as relay:
            answer = relay.post(TARGET, BODY, HEADERS)
        (destination,) = stored(redis_url)
        settings = Settings(redis_url=redis_url, allowed_hosts=[vwo.netloc])
        fleet = Fleet(redis_py.Redis.from_url(redis_url), "vwo")
        worker = Worker(fleet, settings, lambda wakeup: None)
        deliver(worker, Wakeup(destination.queue, 0, ""))

    assert (answer.status, answer.body) == (200, b'{"status":"success"}')
    assert destination == Destination(
        account_id=ACCOUNT, sdk_key=KEY, generation="single", region="eu01", base_url=vwo.url
    )
    (sent,) = vwo.singles
    assert (sent.status, sent.target, sent.body) == (200, TARGET, BODY)
    assert {name: sent.header(name) for name in HEADERS} == HEADERS
    assert vwo.disagreements() == []


@pytest.mark.parametrize(
    ("content_type", "kept"),
    [
        ("text/plain; charset=ISO-8859-1", "application/json; charset=utf-8"),
        ("application/json", "application/json"),
    ],
)
def test_a_declared_charset_is_that_of_the_stored_body(
    content_type: str, kept: str, redis_url: str
) -> None:
    """A body in Latin-1 is stored in UTF-8, and its type says so."""
    body = '{"d":{"visId":"é","event":{"props":{}}}}'

    with relaying(redis_url) as relay:
        answer = relay.post(TARGET, body.encode("latin-1"), {"Content-Type": content_type})

    (event,) = map(json.loads, all_stored(redis_url))
    assert answer.status == 200
    assert event["headers"] == {"Content-Type": kept}
    assert event["body"]["d"]["visId"] == "é"


def test_no_key_is_stored_with_it(redis_url: str) -> None:
    """The target holds a mark where the key was."""
    with relaying(redis_url) as relay:
        assert relay.post(TARGET, BODY, HEADERS).status == 200

    (event,) = all_stored(redis_url)
    assert b"env=<SDK key>&" in event
    assert KEY.encode() not in event


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (TARGET.replace(KEY, "c" * 32), 400),
        (TARGET.replace(f"a={ACCOUNT}", "a=999999"), 400),
        (f"{TARGET}&a=999999", 400),
        (f"{TARGET}&env={'c' * 32}", 400),
    ],
)
def test_another_account_or_key_is_refused(target: str, status: int, redis_url: str) -> None:
    """Nothing is stored of a request that names, once or a second time, an account that may not send."""
    with relaying(redis_url, accounts={ACCOUNT: [KEY]}) as relay:
        answer = relay.post(target, BODY, HEADERS)

    assert answer.status == status
    assert KEY.encode() not in answer.body
    assert all_stored(redis_url) == []
