"""Android's options and uploads where a back end collects for phones: to VWO's side and back.

The options are those of the vendor's page on Android's event batching: a batch leaves once `batchMinSize`
events wait, or the oldest is `batchUploadTimeInterval` milliseconds old, whichever comes first. What a
phone kept offline comes in one request of any number of events, each with the time at which it happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
import redis as redis_py

import vwo_celery
import vwo_celery.aio
from tools.relays import ACCOUNT, KEY, RelayServer, relaying
from tools.waiting import wait_until
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.work.pushes import Place
from vwo_celery.queue.work.sweeping import sweep
from vwo_celery.relay.reading.batches import events_of
from vwo_celery.settings import Settings
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups", "leases"
)

PHONE = (
    f"/server-side/batch-events-v2?a={ACCOUNT}&env={KEY}&i={KEY}&pt=android&sn=vwo-fme-android-sdk"
    "&sv=1.55.0"
)
SINGLE = f"/events/t?en=purchase&a={ACCOUNT}&env={KEY}&p=FS&sn=vwo-fme-android-sdk&sv=1.55.0"
MOST_EVENTS, MOST_BYTES = 5000, 10_000_000
#: A day on which phones were offline, Unix ms.
LONG_AGO_MS = 1_700_000_000_000
Work = Callable[[], None]


def event(number: int, padding: int = 0) -> bytes:
    """An event of an offline phone, with a time of its own."""
    at = LONG_AGO_MS + number
    return (
        b'{"d":{"msgId":"m-%d","visId":"v","sessionId":%d,"event":{"props":{"vwo_sdkName":'
        b'"vwo-fme-android-sdk","vwo_sdkVersion":"1.55.0","vwo_envKey":"%b","x":"%b"},"name":"purchase",'
        b'"time": %d},"eTime":%d}}' % (number, at // 1000, KEY.encode(), b"x" * padding, at, at)
    )


def body(events: Sequence[bytes]) -> bytes:
    """A request's body."""
    return b'{"ev":[' + b",".join(events) + b"]}"


@pytest.fixture
def vwo() -> Iterator[Standin]:
    """A stand-in that knows the account."""
    with Standin(accounts={ACCOUNT: KEY}) as server:
        yield server


@pytest.fixture
def work(redis_url: str, vwo: Standin) -> Iterator[Work]:
    """One turn of a fleet's work: a sweep, and the delivery of all that is due."""
    with redis_py.Redis.from_url(redis_url) as client:
        fleet = Fleet(client, "vwo")
        settings = Settings(redis_url=redis_url, allowed_hosts=[vwo.netloc])
        worker = Worker(fleet, settings, lambda wakeup: None)

        def turn() -> None:
            for wakeup in [*sweep(fleet, by="beat"), *_left(fleet)]:
                deliver(worker, wakeup)

        yield turn


def _left(fleet: Fleet) -> Iterator[Any]:
    while (wakeup := fleet.next_wakeup(0.01)) is not None:
        yield wakeup


def sent(vwo: Standin) -> list[list[bytes]]:
    """The events of each request that VWO accepted."""
    return [
        list(events_of(each.body, is_fme=True, is_phone=False).events)
        for each in vwo.batches
        if each.status == 200
    ]


def relay_for(redis_url: str, vwo: Standin, **options: float) -> Any:
    """A relay whose one account has Android's options."""
    return relaying(
        redis_url,
        accounts={ACCOUNT: {"keys": [KEY], "batch_event_data": options}},
        relay_upstream=vwo.url,
        enqueue_timeout_seconds=10,
    )


def post(relay: RelayServer, target: str, text: bytes) -> None:
    """Send a request, which must be accepted."""
    assert relay.post(target, text).status == 200


# -- online: whichever comes first


@pytest.mark.parametrize(
    "options", [{"batchMinSize": 3}, {"batchMinSize": 3, "batchUploadTimeInterval": 300_000}]
)
def test_a_batch_leaves_at_its_least_size(
    options: dict[str, float], vwo: Standin, work: Work, redis_url: str
) -> None:
    """Two events wait; the third makes all three leave in one request, long before the interval."""
    with relay_for(redis_url, vwo, **options) as relay:
        for number in range(2):
            post(relay, PHONE, body([event(number)]))
            work()
        assert vwo.batches == []
        post(relay, PHONE, body([event(2)]))
        wait_until(lambda: work() or vwo.batches, what="the batch leaves")

    assert sent(vwo) == [[event(0), event(1), event(2)]]


@pytest.mark.parametrize(
    "options",
    [{"batchUploadTimeInterval": 1000}, {"batchMinSize": 50, "batchUploadTimeInterval": 1000}],
)
def test_a_batch_leaves_after_its_interval(
    options: dict[str, float], vwo: Standin, work: Work, redis_url: str
) -> None:
    """However few they are, events leave once the oldest is a second old: the option is in ms."""
    with relay_for(redis_url, vwo, **options) as relay:
        post(relay, PHONE, body([event(0)]))
        post(relay, PHONE, body([event(1)]))
        wait_until(lambda: work() or vwo.batches, what="the batch leaves")

    assert sent(vwo) == [[event(0), event(1)]]


def test_without_options_each_event_leaves_at_once(
    vwo: Standin, work: Work, redis_url: str
) -> None:
    """As on the phone, where events without batching are sent in real time."""
    with relay_for(redis_url, vwo) as relay:
        post(relay, PHONE, body([event(0)]))
        wait_until(lambda: work() or vwo.batches, what="the event leaves")

    assert sent(vwo) == [[event(0)]]


def test_events_that_phones_send_singly_are_batched(
    vwo: Standin, work: Work, redis_url: str
) -> None:
    """Behind a gateway setting a phone sends each event alone; here they leave together."""
    with relay_for(redis_url, vwo, batchMinSize=2) as relay:
        for number in range(2):
            post(relay, SINGLE, event(number))
        wait_until(lambda: work() or vwo.batches, what="the batch leaves")

    assert sent(vwo) == [[event(0), event(1)]]


# -- offline uploads


@pytest.mark.parametrize(
    ("count", "size", "requests"),
    [
        (12_000, 5000, [5000, 5000, 2000]),
        (12_000, 10, [5000, 5000, 2000]),
        (12_000, 1, [5000, 5000, 2000]),
        (1200, 500, [1200]),
    ],
)
def test_an_upload_is_one_request_and_leaves_in_chunks(
    count: int, size: int, requests: list[int], vwo: Standin, work: Work, redis_url: str
) -> None:
    """Any number of events is accepted at once; each reaches VWO once, with its bytes and its time."""
    events = [event(number) for number in range(count)]
    options = {"batchMinSize": size, "batchUploadTimeInterval": 1000}
    with relay_for(redis_url, vwo, **options) as relay:
        post(relay, PHONE, body(events))
        wait_until(lambda: work() or vwo.stats().events >= count, what="all have left")

    assert [len(each) for each in sent(vwo)] == requests
    assert [each for request in sent(vwo) for each in request] == events
    assert vwo.disagreements() == []
    assert {each.status for each in vwo.batches} == {200}
    assert {each.query["pt"] for each in vwo.batches} == {"android"}


def test_large_uploads_leave_below_vwos_bound(vwo: Standin, work: Work, redis_url: str) -> None:
    """Two uploads of nearly ten megabytes each make no request of more than ten."""
    first = [event(number, 160_000) for number in range(61)]
    second = [event(number, 160_000) for number in range(61, 122)]
    options = {"batchMinSize": 5000, "batchUploadTimeInterval": 1000}
    with relay_for(redis_url, vwo, **options) as relay:
        for upload in (first, second):
            assert 9_000_000 < len(body(upload)) <= MOST_BYTES
            post(relay, PHONE, body(upload))
        wait_until(lambda: work() or vwo.stats().events >= 122, what="all have left")

    assert [each for request in sent(vwo) for each in request] == first + second
    assert max(len(each.body) for each in vwo.batches) <= MOST_BYTES


def test_an_upload_beyond_the_bodys_bound_is_refused(vwo: Standin, redis_url: str) -> None:
    """In VWO's words; nothing of it is stored."""
    text = body([event(number, 160_000) for number in range(63)])
    with relay_for(redis_url, vwo, batchMinSize=5000) as relay:
        answer = relay.post(PHONE, text)

    assert len(text) > MOST_BYTES
    assert (answer.status, b"Payload size too large" in answer.body) == (413, True)


# -- without the relay: a Python back end that collects


def as_dict(number: int) -> dict[str, Any]:
    """An event that Python encodes."""
    return {
        "d": {
            "msgId": f"m-{number}", "visId": "v", "sessionId": 1700000000,
            "event": {"props": {}, "name": "purchase", "time": LONG_AGO_MS + number},
        }
    }  # fmt: skip


def destination(vwo: Standin) -> vwo_celery.Destination:
    """The account's, at the stand-in."""
    return vwo_celery.Destination(
        account_id=ACCOUNT, sdk_key=KEY, generation="fme", base_url=vwo.url
    )


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"batchMinSize": 3}, 3),
        ({"batchMinSize": 3, "batchUploadTimeInterval": 300_000}, 3),
        ({"batchMinSize": 50, "batchUploadTimeInterval": 1000}, 2),
        ({"batchUploadTimeInterval": 1000}, 2),
        ({}, 1),
    ],
)
@pytest.mark.parametrize("how", ["threads", "asyncio"])
def test_python_takes_androids_options(
    how: str, options: Any, count: int, vwo: Standin, work: Work, redis_url: str
) -> None:
    """`connect(batch_event_data={'batchMinSize': …})`: size or interval, whichever comes first."""
    events = [as_dict(number) for number in range(count)]
    if how == "threads":
        queue = vwo_celery.connect(
            destination(vwo), batch_event_data=options, redis_url=redis_url, strict=True
        )
        assert all(queue.enqueue(each) for each in events)
    else:
        asyncio.run(_enqueue_async(vwo, options, redis_url, events))
    wait_until(lambda: work() or vwo.events, what="the batch leaves")

    assert vwo.events == events
    assert len(vwo.batches) == 1


async def _enqueue_async(vwo: Standin, options: Any, redis_url: str, events: Sequence[Any]) -> None:
    queue = vwo_celery.aio.connect(
        destination(vwo), batch_event_data=options, redis_url=redis_url, strict=True
    )
    for each in events:
        assert await queue.enqueue(each)
    await queue.aclose()


@pytest.mark.parametrize(
    ("how", "size", "shards"),
    [("threads", 5000, 1), ("threads", 10, 1), ("threads", 10, 4), ("asyncio", 10, 4)],
)
def test_python_chunks_what_was_collected(
    how: str, size: int, shards: int, vwo: Standin, work: Work, redis_url: str
) -> None:
    """Any number of events at once, of any age: at most 5,000 and 10 MB in a request, in order."""
    options: Any = {"batchMinSize": size, "batchUploadTimeInterval": 1000}
    events = [as_dict(number) for number in range(12_000)]

    if how == "threads":
        queue = vwo_celery.connect(
            destination(vwo), batch_event_data=options, redis_url=redis_url, strict=True,
            shards=shards, enqueue_timeout_seconds=10,
        )  # fmt: skip
        assert all(queue.enqueue_many(events))
    else:
        asyncio.run(_enqueue_many_async(vwo, options, redis_url, shards, events))
    wait_until(lambda: work() or vwo.stats().events >= 12_000, what="all have left")

    assert [len(each.events) for each in vwo.batches] == [5000, 5000, 2000]
    assert vwo.events == events


async def _enqueue_many_async(
    vwo: Standin, options: Any, redis_url: str, shards: int, events: Sequence[Any]
) -> None:
    queue = vwo_celery.aio.connect(
        destination(vwo), batch_event_data=options, redis_url=redis_url, strict=True,
        shards=shards, enqueue_timeout_seconds=10,
    )  # fmt: skip
    assert all(await queue.enqueue_many(events))
    await queue.aclose()


def test_what_is_left_of_an_upload_leaves(vwo: Standin, work: Work, redis_url: str) -> None:
    """If the program dies between two pages, the sweep seals what it has stored, whole."""
    queue = vwo_celery.connect(
        destination(vwo), batch_event_data={"batchMinSize": 10}, redis_url=redis_url, strict=True
    )
    events = [msgspec.json.encode(as_dict(number)) for number in range(1000)]
    producer = producer_of(queue)

    producer.store_page(events, Place(more_follow=True))
    wait_until(lambda: work() or vwo.batches, what="they leave")

    assert [len(each.events) for each in vwo.batches] == [1000]
