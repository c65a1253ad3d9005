"""Captured events: a test of an application sees what it enqueued, and nothing leaves the process."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import vwo_celery
from vwo_celery import aio
from vwo_celery.errors import QueueFull, VwoCeleryError
from vwo_celery.event_kinds import (
    ConversionEvent,
    Visitor,
    attributes_set,
    custom_event,
    visitor_id,
)
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import DrainResult, FlushResult, Receipt
from vwo_celery.testing import Capture, CapturedEvents, capture_events, free_port

DESTINATION = vwo_celery.Destination(account_id=888888, sdk_key="k" * 32, generation="fme")
KEY = DESTINATION.sdk_key


def event(name: str = "purchase", user: str = "anna", **properties: Any) -> Any:
    """An FME event."""
    now_ms = time.time_ns() // 1_000_000
    return custom_event(DESTINATION, Visitor(user_id=user), name, properties, time_ms=now_ms)


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    """Where a queue would spool; nobody has made it."""
    return tmp_path / "spool"


@pytest.fixture
def open_queue(spool_dir: Path) -> Callable[..., vwo_celery.Queue]:
    """Opens a queue whose Redis does not run, so that whatever asks it has another receipt."""
    url = f"redis://127.0.0.1:{free_port()}/0"

    def connect(destination: vwo_celery.Destination = DESTINATION, **more: Any) -> vwo_celery.Queue:
        return vwo_celery.connect(destination, redis_url=url, spool_dir=str(spool_dir), **more)

    return connect


@pytest.fixture
def queue(open_queue: Callable[..., vwo_celery.Queue]) -> vwo_celery.Queue:
    """Such a queue, made before the capture begins."""
    return open_queue()


@pytest.fixture
def events(queue: vwo_celery.Queue) -> Iterator[Capture]:
    """What is captured."""
    with capture_events() as captured:
        yield captured


def test_queues_made_before_and_after_are_captured(events, queue, open_queue, spool_dir):
    """Whoever opened a queue, and when: its events are captured, neither Redis nor the disk asked."""
    assert queue.enqueue(event("first")) == Receipt(where="redis")
    assert open_queue().enqueue_many([event("second"), event("third")]) == [
        Receipt(where="redis"),
        Receipt(where="redis"),
    ]

    assert events.names == ["first", "second", "third"]
    assert not spool_dir.exists()


def test_asyncio_is_captured(events, queue, spool_dir):
    """An await of `aio` is captured like a call, in any number of event loops."""
    other = aio.AioQueue(queue)

    async def track() -> list[Receipt]:
        one = await other.enqueue(event("one"))
        return [one, *await other.enqueue_many([event("two")] * 3)]

    receipts = asyncio.run(track()) + asyncio.run(track())

    assert receipts == [Receipt(where="redis")] * 8
    assert events.names == ["one", "two", "two", "two"] * 2
    assert not spool_dir.exists()


def test_threads_are_captured(events, queue):
    """Threads enqueue at the same time, and no event is missing."""
    threads = [
        threading.Thread(target=lambda: [queue.enqueue(event()) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(events) == 200


def test_a_queue_that_redis_knows_is_captured_as_well(redis_url, redis):
    """A queue that stored events before the capture stores none in it, and stores again after it."""
    queue = vwo_celery.connect(
        DESTINATION, batch_event_data={"events_per_request": 100}, redis_url=redis_url
    )
    queue.enqueue_many([event()] * 2)
    accepted = _accepted(redis)

    with capture_events() as events:
        queue.enqueue(event())
        queue.enqueue_many([event()] * 3)
        asyncio.run(aio.AioQueue(queue).enqueue(event()))
    in_capture = _accepted(redis)
    queue.enqueue(event())

    assert len(events) == 5
    assert in_capture == accepted
    assert _accepted(redis) > accepted
    redis.flushall()


def _accepted(redis: Any) -> int:
    return sum(redis.llen(key) for key in redis.scan_iter(match="*:open"))


def test_nothing_of_a_queue_asks_redis(events, queue, spool_dir):
    """Every public method of a queue answers without Redis and the disk, in the words of production."""
    queue.enqueue_many([event()] * 3)

    assert queue.flush_events() == FlushResult(delivered=3)
    assert queue.flush_events() == FlushResult()
    assert asyncio.run(aio.AioQueue(queue).flush_events()) == FlushResult()
    assert queue.spooled() == 0
    assert queue.drain_spool() == DrainResult()
    assert queue.dropped == {}
    assert queue.not_replicated == 0
    with pytest.raises(VwoCeleryError, match=r"vwo_inline\.deliver"):
        next(iter(queue.results()))
    assert not spool_dir.exists()


def test_all_ways_in_and_out_are_known():
    """A method that is added to a queue, or to what is beneath it, must be looked at here."""
    public = {
        kind.__name__: {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}
        for kind in (vwo_celery.Queue, aio.AioQueue)
    }

    assert public["Queue"] == {
        "enqueue", "enqueue_many", "flush_events", "results", "spooled", "drain_spool", "dropped",
        "not_replicated",
    }  # fmt: skip
    assert public["AioQueue"] == {
        "enqueue", "enqueue_many", "flush_events", "spooled", "drain_spool", "aclose",
    }  # fmt: skip


def test_what_cannot_be_encoded_is_dropped_as_in_production(events, queue, caplog):
    """An event that is no JSON has its usual receipt, count and log line, and shows in the capture."""
    receipt = queue.enqueue({"price": object()})
    several = queue.enqueue_many([event(), b"[1]", event()])

    assert receipt == Receipt(where="dropped", reason="not_json")
    assert [each.where for each in several] == ["redis", "dropped", "redis"]
    assert queue.dropped == {"not_json": 1, "not_an_object": 1}
    assert [(drop.reason, drop.count) for drop in events.dropped] == [
        ("not_json", 1),
        ("not_an_object", 1),
    ]
    assert "dropped (not_json)" in caplog.text
    assert len(events) == 2


def test_drops_of_a_capture_are_reported_to_no_redis(events, queue):
    """What was dropped in a test is not told to the Redis of a later one, or at the process' end."""
    queue.enqueue(b"no JSON")

    assert not producer_of(queue).reporter.has_news


def test_the_application_s_answer_to_trouble_can_be_tested(events, queue):
    """A test chooses the receipt: the event is then spooled or dropped as the receipt says."""
    events.answer_with(Receipt(where="spooled"))
    spooled = queue.enqueue(event("spooled"))
    events.answer_with(Receipt(where="dropped", reason="redis_unavailable"))
    dropped = queue.enqueue(event("dropped"))
    events.answer_with(QueueFull("full"))
    with pytest.raises(QueueFull):
        queue.enqueue(event("refused"))
    with pytest.raises(QueueFull):
        asyncio.run(aio.AioQueue(queue).enqueue(event("refused")))
    events.answer_with(None)
    usual = queue.enqueue(event("usual"))

    assert [spooled.where, dropped.reason, usual.where] == ["spooled", "redis_unavailable", "redis"]
    assert events.names == ["spooled", "usual"]
    assert [drop.reason for drop in events.dropped] == ["redis_unavailable"]
    assert queue.dropped == {"redis_unavailable": 1}


def test_captures_nest(events, queue):
    """A capture within another one sees what happens in it, and the outer one sees all."""
    queue.enqueue(event("before"))
    with capture_events() as inner:
        queue.enqueue(event("within"))
    queue.enqueue(event("after"))

    assert inner.names == ["within"]
    assert events.names == ["before", "within", "after"]


def test_the_classes_are_as_before_afterwards():
    """When the last capture ends, also by an exception, nothing of it is left in the classes."""
    kinds = [type(producer_of(vwo_celery.connect(DESTINATION))), vwo_celery.Queue]
    before = [dict(vars(kind)) for kind in kinds]

    with capture_events(), suppress(ZeroDivisionError), capture_events():
        within = [dict(vars(kind)) for kind in kinds]
        raise ZeroDivisionError

    assert within != before
    assert [dict(vars(kind)) for kind in kinds] == before


def test_an_event_tells_its_facts(events, queue):
    """Name, visitor by the application's id or VWO's, properties and attributes without the SDK's own."""
    queue.enqueue(event("purchase", "anna", price=49.9))
    queue.enqueue(
        attributes_set(DESTINATION, Visitor(user_id="ben"), {"plan": "gold"}, time_ms=1_700_000_000)
    )

    purchase, attributes = events
    assert (purchase.name, purchase.queue) == ("purchase", queue.name)
    assert purchase.is_of("anna")
    assert purchase.is_of(visitor_id(888888, "anna"))
    assert not purchase.is_of("ben")
    assert purchase.properties == {"isCustomEvent": True, "variation": 1, "id": 1, "price": 49.9}
    assert purchase.json["d"]["event"]["props"]["vwo_envKey"] == KEY
    assert attributes.attributes == {"plan": "gold"}
    assert events[0] == purchase
    assert events[:1] == [purchase]


def test_a_legacy_event_tells_its_facts(open_queue):
    """A legacy event has the name of the SDK's method; a conversion also its goal's id as a name."""
    legacy = vwo_celery.Destination(account_id=888888, sdk_key=KEY, generation="legacy")
    who = visitor_id(888888, "anna")
    goal = ConversionEvent(
        visitor_id=who, session_id=1_700_000_000, variation_id=2, campaign_id=101, goal_id=201
    )

    with capture_events() as events:
        open_queue(legacy).enqueue(goal)

    track = events.named("201").one("track")
    assert track.is_of("anna")
    assert track.properties["g"] == 201
    assert track.attributes == {}


def test_a_choice_is_made_by_name_and_user(events, queue):
    """`named` and `of` narrow, in any order; `clear` forgets."""
    queue.enqueue_many([event("seen", "anna"), event("bought", "anna"), event("bought", "ben")])

    assert len(events.named("bought")) == 2
    assert events.of("anna").names == ["seen", "bought"]
    assert events.of("ben").one("bought") is events[2]
    assert not events.of("carol")
    events.clear()
    assert not events


def test_a_missing_event_is_told_with_what_was_captured(events, queue):
    """The failure names what was wanted, what was captured instead, and what was dropped."""
    queue.enqueue(event("seen"))
    queue.enqueue(b"no JSON")

    with pytest.raises(AssertionError) as failure:
        events.of("anna").one("purchase")

    text = str(failure.value)
    assert "one event was expected of user 'anna', named 'purchase'" in text
    assert "0 of 1 captured event matched" in text
    assert f"seen of visitor {visitor_id(888888, 'anna')}" in text
    assert repr(events.named("purchase")).startswith(
        "<no event named 'purchase'; captured: seen of"
    )


def test_two_events_are_not_one(events, queue):
    """`one` fails for several: an application that tracks twice counts twice in VWO's reports."""
    queue.enqueue_many([event()] * 2)

    with pytest.raises(AssertionError, match="2 of 2 captured events matched"):
        events.one("purchase")


def test_an_empty_capture_says_what_to_look_at(events, queue):
    """Where nothing was captured, the failure asks for the attach, and tells what was dropped."""
    with pytest.raises(AssertionError, match=r"nothing was captured: is the client attached"):
        events.one()
    queue.enqueue(b"no JSON")
    with pytest.raises(AssertionError, match=r"dropped: 1 \(not_json: "):
        events.one()


def test_messages_show_neither_keys_nor_properties(events, queue):
    """What a failed test prints may be public: no SDK key, and nothing that a visitor typed."""
    queue.enqueue(event("purchase", card="4711"))

    shown = f"{events!r} {events[0]!r} {CapturedEvents(events)!r}"
    with pytest.raises(AssertionError) as failure:
        events.one("other")

    assert KEY not in shown + str(failure.value)
    assert "4711" not in shown + str(failure.value)


def test_names_are_shown_on_one_line(events, queue):
    """A name with a line's end or an escape sequence cannot forge a line of a test's report."""
    queue.enqueue({"d": {"event": {"name": "a\n\x1b[31mFAILED"}, "visId": "\u202e"}})

    assert repr(events[0]) == r"<a\n\x1b[31mFAILED of visitor \u202e>"


def test_a_long_list_is_cut(events, queue):
    """Of many events a message shows ten, and counts the others."""
    queue.enqueue_many([event()] * 25)

    assert repr(events).endswith("15 more>")
