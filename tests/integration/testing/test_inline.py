"""Inline delivery: a test sends what its application enqueued, with the real scripts and requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

import vwo_celery
from vwo_celery import aio
from vwo_celery.event_kinds import Visitor, custom_event
from vwo_celery.receipts import FlushResult
from vwo_celery.signals import batch_delivered, batch_released
from vwo_celery.testing import Fault, InlineDelivery, Standin, capture_events, inline_delivery

DESTINATION = vwo_celery.Destination(account_id=888888, sdk_key="k" * 32, generation="fme")
_called_back: list[tuple[str | None, list[Any]]] = []


def event(name: str = "purchase", **properties: Any) -> Any:
    """An FME event."""
    now_ms = time.time_ns() // 1_000_000
    return custom_event(DESTINATION, Visitor(user_id="anna"), name, properties, time_ms=now_ms)


def connect(**more: Any) -> vwo_celery.Queue:
    """An application's queue: its Redis is nowhere, its destination VWO's own host."""
    return vwo_celery.connect(DESTINATION, **{"redis_url": "redis://127.0.0.1:1/0", **more})


@pytest.fixture
def queue() -> vwo_celery.Queue:
    """The application's queue, made before the delivery."""
    return connect(batch_event_data={"events_per_request": 2})


@pytest.fixture
def inline(redis_url: str, standin: Standin) -> Iterator[InlineDelivery]:
    """Inline delivery to the stand-in."""
    with inline_delivery(redis_url, standin) as delivery:
        yield delivery


def test_events_reach_the_stand_in(inline, queue, standin):
    """What an application enqueues for VWO's own host is sent to the stand-in, in the SDK's shape."""
    queue.enqueue_many([event(price=price) for price in range(5)])
    before = list(standin.batches)

    deliveries = inline.deliver()

    assert before == []
    assert deliveries
    assert [report.count for report in deliveries.delivered] == [2, 2, 1]
    assert standin.batches[0].path == "/server-side/batch-events-v2"
    assert standin.batches[0].header("Authorization") == DESTINATION.sdk_key
    assert standin.disagreements() == []
    assert [each["d"]["event"]["props"]["price"] for each in standin.events] == list(range(5))
    assert repr(deliveries) == "<Deliveries: 5 events delivered>"


def test_nothing_to_send_is_no_failure(inline, queue):
    """A delivery without any event, or any queue, is truthy and says so."""
    assert repr(inline.deliver()) == "<Deliveries: nothing to send>"
    queue.enqueue(event())
    assert inline.deliver()
    assert inline.deliver()


def test_asyncio_is_delivered(inline, queue, standin):
    """What is awaited is stored and delivered like what is called, and both are one queue."""
    queue.enqueue(event("called"))
    receipt = asyncio.run(aio.AioQueue(queue).enqueue(event("awaited")))
    deliveries = inline.deliver()

    assert receipt.where == "redis"
    assert [each["d"]["event"]["name"] for each in standin.events] == ["called", "awaited"]
    assert len(deliveries.delivered) == 1


def test_two_queues_of_one_destination_are_one(inline, queue, standin):
    """Two parts of an application that connect to the same destination share its queue, as anywhere."""
    queue.enqueue(event())
    connect(batch_event_data={"events_per_request": 2}).enqueue(event())
    standin.fail(503)

    deliveries = inline.deliver()

    assert [len(batch.events) for batch in standin.batches] == [2]
    assert deliveries.pending == 2


def test_each_delivery_is_one_attempt(inline, queue, standin):
    """A batch that VWO does not take is tried once in each call, whatever delay was drawn for it."""
    queue.enqueue(event())
    attempts = []
    for _ in range(4):
        standin.fail(503)
        deliveries = inline.deliver()
        assert not deliveries
        assert deliveries.pending == 1
        attempts += [report.attempt for report in deliveries.released]
    healed = inline.deliver()

    assert attempts == [1, 2, 3, 4]
    assert [report.attempt for report in healed.delivered] == [5]
    assert len(standin.batches) == 5


def test_a_released_batch_keeps_its_events(inline, queue, standin):
    """The same batch comes again with the same bytes; others go on meanwhile."""
    standin.fail("reset")
    queue.enqueue_many([event(n=n) for n in range(4)])
    first, second = inline.deliver(), inline.deliver()

    assert [first.released[0].raw_events, first.delivered[0].count] == [
        second.delivered[0].raw_events,
        2,
    ]
    assert standin.batches[0].body == standin.batches[2].body


def test_what_failed_is_told(inline, queue, standin):
    """The result of a failed delivery prints what became of which events, and VWO's answer."""
    standin.fail(Fault(status=503, body=b'{"message": "busy"}'))
    queue.enqueue_many([event()] * 3)

    assert repr(inline.deliver()) == (
        "<Deliveries: 1 event delivered; 2 events released "
        "(VWO answered 503 (Service Unavailable): busy)>"
    )


def test_an_outage_opens_the_circuit_until_the_next_delivery(inline, queue, standin):
    """After failures in a row nothing more is sent, as in production; the next call tries again."""
    queue.enqueue_many([event()] * 30)
    standin.fail(*[500] * 15)
    failed = inline.deliver()
    asked = len(standin.batches)
    standin.heal()
    healed = inline.deliver()

    assert 0 < asked < 15
    assert failed.pending == 30
    assert "sending has been failing" in repr(failed)
    assert healed
    assert sum(report.count for report in healed.delivered) == 30


def test_a_batch_that_is_too_large_is_delivered_in_parts(inline, queue, standin):
    """After a 413 the parts of the batch are sent in the same call."""
    queue.enqueue(event())
    assert inline.deliver()
    standin.fail(413)
    queue.enqueue_many([event()] * 2)

    deliveries = inline.deliver()

    assert deliveries
    assert sum(report.count for report in deliveries.delivered) == 2
    assert [len(batch.events) for batch in standin.batches if batch.status == 200] == [1, 1, 1]


def test_an_event_that_vwo_rejects_is_dead(inline, queue, standin):
    """Of a batch that VWO rejects, the events to blame are dead letters, the others delivered."""
    queue.enqueue(event())
    assert inline.deliver()
    queue.enqueue_many([event(), {"no": "event of VWO's"}])

    deliveries = inline.deliver()

    assert not deliveries
    assert [report.events for report in deliveries.dead] == [[{"no": "event of VWO's"}]]
    assert sum(report.count for report in deliveries.delivered) == 1
    assert deliveries.pending == 0


def test_a_queue_that_vwo_stopped_stays_so_until_it_is_resumed(redis_url, queue):
    """A key that VWO has never accepted pauses the queue, however often one delivers; resume ends it."""
    with (
        Standin(accounts={888888: "another"}) as vwo,
        inline_delivery(redis_url, vwo) as inline,
    ):
        queue.enqueue(event())
        stopped = inline.deliver()
        asked = len(vwo.batches)
        again = inline.deliver()
        asked_again = len(vwo.batches)
        inline.resume()
        inline.deliver()

        assert [report.status for report in stopped.stopped] == [400]
        assert asked_again == asked
        assert again.why.startswith("the queue is paused")
        assert len(vwo.batches) > asked


def test_signals_and_callback_run_in_the_delivery(inline, standin):
    """Receivers and the `flush_callback` of the application are called, as a worker calls them."""
    _called_back.clear()
    heard = []

    def hear(sender: str, report: Any, **_: Any) -> None:
        heard.append((report.answer, report.count))

    callback = {"events_per_request": 5, "flush_callback": note_flush}
    queue = connect(batch_event_data=callback, callback_modules=(__name__,))
    for signal in (batch_delivered, batch_released):
        signal.connect(hear)
    standin.fail(500)
    queue.enqueue_many([event()] * 2)
    inline.deliver()
    inline.deliver()

    assert heard == [("500", 2), ("200", 2)]
    assert [bool(error) for error, _ in _called_back] == [True, False]
    assert [len(events) for _, events in _called_back] == [2, 2]


def note_flush(error: str | None, events: list[Any]) -> None:
    """A callback that a worker may import."""
    _called_back.append((error, events))


def test_a_callback_that_workers_may_not_call_is_told(inline, standin, caplog):
    """As in production, a callback of a module that is not allowed is not called; the log says why."""
    _called_back.clear()
    queue = connect(batch_event_data={"events_per_request": 5, "flush_callback": note_flush})
    queue.enqueue(event())

    assert inline.deliver()
    assert _called_back == []
    assert f"add '{__name__}' to callback_modules" in caplog.text


def test_a_flush_of_the_application_delivers(inline, queue, standin):
    """`flush_events()` in the application's code needs no worker: it delivers, and tells the outcome."""
    queue.enqueue_many([event()] * 3)
    flushed = queue.flush_events()
    standin.fail(503)
    queue.enqueue(event())
    failed = asyncio.run(aio.AioQueue(queue).flush_events())

    assert flushed == FlushResult(delivered=3)
    assert (failed.delivered, failed.pending, bool(failed)) == (0, 1, False)
    assert "503" in failed.reason


def test_a_flush_does_not_retry(inline, queue, standin):
    """A flush does not end a delay: only `deliver` lets time pass."""
    standin.fail(503)
    queue.enqueue(event())
    queue.flush_events()
    queue.flush_events()

    assert len(standin.batches) == 1


def test_capture_and_delivery_see_the_same_events(inline, queue, standin):
    """With both, events are captured and delivered, whichever of the two began first."""
    with capture_events() as events:
        queue.enqueue_many([event()] * 2)
        assert queue.flush_events() == FlushResult(delivered=2)

    assert len(events) == len(standin.events) == 2


@pytest.mark.declared_keys("*other*")
def test_the_redis_is_left_as_it_was(redis_url, redis, queue):
    """Keys of others stay, and those of the test are deleted, whatever it left undelivered."""
    redis.set("other", "kept")
    with Standin(faults=lambda _: 503) as vwo, inline_delivery(redis_url, vwo) as inline:
        queue.enqueue_many([event()] * 3)
        inline.deliver()
        assert len(redis.keys("vwo-test-*")) > 1

    assert redis.keys("*") == [b"other"]


def test_settings_of_the_application_hold(inline, standin):
    """Capacity, policy and the other settings of a queue are those that the application chose."""
    queue = connect(
        batch_event_data={"events_per_request": 5}, max_queue_events=2, when_full="drop_newest"
    )

    receipts = [queue.enqueue(event()) for _ in range(3)]

    assert [receipt.where for receipt in receipts] == ["redis", "redis", "dropped"]
    assert receipts[2].reason == "queue_full"
