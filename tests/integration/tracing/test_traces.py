"""From a web request to the POST: spans of calls and attempts, and the links between them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

import vwo_celery
import vwo_celery.aio
from tools.recording import Recording, facts, ids, linked, parent
from tools.selective_vwo import Delivering, Make, Vwo, event, proven
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import IN_REDIS, SPOOLED
from vwo_celery.testing import RedisServer, free_port

pytestmark = pytest.mark.declared_keys(
    "ready", "leases", "info", "dead", "batch", "slots", "wakeups", "watched", "open"
)


def one(spans: Any) -> ReadableSpan:
    """The only span."""
    (found,) = spans
    return found


def test_one_request_from_the_web_to_the_post(
    recording: Recording, make: Make, redis: redis_py.Redis
) -> None:
    """The call is below the request, the attempt is linked to the call; POST and ack are below that."""
    made = make()
    with recording.request() as request:
        assert made.queue.enqueue(event(1)) == IN_REDIS
    made.deliver()

    sent, attempt = one(recording.sent), one(recording.attempts)
    assert parent(sent) == (request.get_span_context().trace_id, request.get_span_context().span_id)
    assert linked(attempt) == ids([sent])
    assert (sent.kind, attempt.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    post, ack = one(recording.spans("POST")), one(recording.spans("ack vwo.events"))
    assert parent(post) == parent(ack) == ids([attempt])[0]
    assert parent(attempt) == (0, 0)
    assert redis.keys("*trace*") == []


def test_the_attributes(recording: Recording, make: Make, vwo: Vwo) -> None:
    """What each span tells, in the words of the conventions; no key of the SDK is among it."""
    made = make()
    with recording.request():
        made.enqueue(1, 2)
    made.deliver()

    names = {"messaging.system": "vwo_celery", "messaging.destination.name": made.queue.name,
             "messaging.destination.template": "vwo.events"}  # fmt: skip
    size = sum(map(len, producer_of(made.queue).encode_all([event(1), event(2)])))
    assert facts(one(recording.sent)) == {
        **names, "messaging.operation.name": "enqueue", "messaging.operation.type": "send",
        "messaging.batch.message_count": 2, "messaging.message.body.size": size,
        "server.address": "127.0.0.1",
    }  # fmt: skip
    told = facts(one(recording.attempts))
    batch, age = told.pop("vwo_celery.batch"), told.pop("vwo_celery.oldest_age")
    assert told == {
        **names, "messaging.operation.name": "process", "messaging.operation.type": "process",
        "messaging.batch.message_count": 2, "messaging.message.body.size": size + 2,
        "vwo_celery.attempt": 1, "vwo_celery.links.dropped": 0,
    }  # fmt: skip
    assert age >= 0
    assert facts(one(recording.spans("ack vwo.events"))) == {
        **names, "messaging.operation.name": "ack", "messaging.operation.type": "settle",
        "vwo_celery.batch": batch,
    }  # fmt: skip
    post = facts(one(recording.spans("POST")))
    assert (post["server.port"], post["http.response.status_code"]) == (vwo.standin.port, 200)
    everything = [each.to_json() for each in recording.exporter.get_finished_spans()]
    assert not any("k" * 32 in each for each in everything)


def test_each_batch_is_linked_to_its_own_calls(recording: Recording, make: Make) -> None:
    """Five calls into batches of two, and a call over three batches: no link to another batch's call."""
    made = make(per_request=2)
    with recording.request():
        for number in range(1, 6):
            made.enqueue(number)
        made.enqueue(6, 7, 8)
    made.deliver()

    calls = ids(recording.sent)
    found = [linked(each) for each in recording.attempts]
    assert found == [calls[0:2], calls[2:4], calls[4:6], calls[5:6]]


def test_awaits_that_leave_together_keep_their_own(recording: Recording, make: Make) -> None:
    """Of asyncio's awaits, which share a push, each batch gets the contexts of its own events."""
    made = make(per_request=3)
    queue = vwo_celery.aio.AioQueue(made.queue)

    async def main() -> None:
        with recording.request():
            await queue.enqueue(event(0))
            await asyncio.gather(*(queue.enqueue(event(number)) for number in range(1, 5)))
            assert await queue.enqueue_many([event(5), event(6)]) == [IN_REDIS] * 2
        await queue.enqueue(event(7))
        await queue.aclose()

    asyncio.run(main())
    made.deliver()

    calls = ids(recording.sent)
    assert len(calls) == 6
    found = [sorted(linked(each)) for each in recording.attempts]
    assert [len(each) for each in found] == [3, 3, 1]
    assert sorted(found[0] + found[1]) == sorted(calls)
    assert found[2] == calls[-1:]


def test_two_hundred_calls_give_the_last_128_links(recording: Recording, make: Make) -> None:
    """Of 200 sampled events in one batch the last 128 are linked to, and 72 are told as dropped."""
    made = make(per_request=500)
    with recording.request():
        for number in range(200):
            made.enqueue(number)
    made.deliver()

    attempt = one(recording.attempts)
    assert linked(attempt) == ids(recording.sent)[72:]
    assert facts(attempt)["vwo_celery.links.dropped"] == 72


def test_an_await_of_many_calls_counts_the_same(recording: Recording, make: Make) -> None:
    """The same where all 200 come in one push."""
    made = make(per_request=500)
    queue = vwo_celery.aio.AioQueue(made.queue)

    async def main() -> None:
        with recording.request():
            await asyncio.gather(*(queue.enqueue(event(number)) for number in range(200)))
        await queue.aclose()

    asyncio.run(main())
    made.deliver()

    attempt = one(recording.attempts)
    assert (len(attempt.links), facts(attempt)["vwo_celery.links.dropped"]) == (128, 72)


def test_each_attempt_is_linked_anew(recording: Recording, make: Make, vwo: Vwo) -> None:
    """A batch that VWO refuses for now: each attempt has its span and links; the failed one says why."""
    made = make(circuit_failures=100)
    with recording.request():
        made.enqueue(1)
    answers = iter([503])
    vwo.judge = lambda numbers: next(answers, None)
    made.deliver_until(lambda: vwo.accepted)

    first, second = recording.attempts
    assert linked(first) == linked(second) == ids(recording.sent)
    assert facts(first)["error.type"] == "503"
    assert "error.type" not in facts(second)
    assert [facts(each)["vwo_celery.attempt"] for each in (first, second)] == [1, 2]
    assert facts(recording.spans("POST")[0])["error.type"] == "503"
    assert len(recording.spans("release vwo.events")) == 1


def test_parts_of_a_batch_keep_the_links(
    recording: Recording, make: Make, vwo: Vwo, redis: redis_py.Redis
) -> None:
    """A batch that is split: its parts and the dead letter have the whole's links, redriven as well."""
    made = proven(make(circuit_failures=100))
    recording.exporter.clear()
    with recording.request():
        made.enqueue(1, 2, 3)
    vwo.judge = lambda numbers: 400 if 2 in numbers else None
    made.deliver_until(
        lambda: redis.zcard(made.shard.keys.dead) and made.taken == {100: 1, 1: 1, 3: 1}
    )
    before = len(recording.attempts)
    vwo.judge = lambda numbers: None
    (dead,) = redis.zrange(made.shard.keys.dead, 0, -1)
    assert made.shard.redrive(dead.decode())
    made.deliver()

    assert len(recording.attempts) == before + 1
    assert all(linked(each) == ids(recording.sent) for each in recording.attempts)
    assert recording.spans("split vwo.events")
    assert redis.keys("*trace*") == []


def test_a_dead_letter_keeps_the_links(
    recording: Recording, sealed: Delivering, redis: redis_py.Redis
) -> None:
    """A batch that an operator takes out of delivery keeps its contexts until it is redriven."""
    (name,) = redis.zrange(sealed.shard.keys.ready, 0, -1)
    assert sealed.shard.set_aside(name.decode(), reason="a test")
    sealed.deliver()
    assert recording.attempts == []

    sealed.shard.redrive(name.decode())
    sealed.deliver()

    assert linked(one(recording.attempts)) == ids(recording.sent)


def test_events_of_other_programs_have_no_link(
    recording: Recording, make: Make, redis: redis_py.Redis
) -> None:
    """What another program pushed is sent with a span and without a link; so is an unsampled call."""
    made = make()
    made.enqueue(1)
    made.deliver()
    (encoded,) = producer_of(made.queue).encode_all([event(2)])
    redis.lpush(made.shard.keys.open, encoded)
    made.deliver()

    assert made.taken == {1: 1, 2: 1}
    assert recording.sent == []
    assert [linked(each) for each in recording.attempts] == [[], []]


def test_a_foreign_event_beside_a_traced_one(
    recording: Recording, make: Make, redis: redis_py.Redis
) -> None:
    """In a list that the sweep slices, the batches keep the contexts of the list's calls."""
    made = make()
    (encoded,) = producer_of(made.queue).encode_all([event(2)])
    with recording.request():
        made.enqueue(1)
    redis.lpush(made.shard.keys.open, encoded)
    made.deliver()

    assert linked(one(recording.attempts)) == ids(recording.sent)
    assert redis.keys("*trace*") == []


# -- the spool


@pytest.fixture
def port() -> int:
    """A port on which nothing listens yet."""
    return free_port()


@pytest.mark.parametrize("is_async", [False, True], ids=["threads", "asyncio"])
def test_spooled_events_keep_their_context(
    recording: Recording, vwo: Vwo, tmp_path: Path, port: int, is_async: bool
) -> None:
    """Spooled while Redis is away, drained in one page: each batch is linked to its own calls."""
    made = Delivering(
        f"redis://127.0.0.1:{port}", vwo.standin, per_request=3, spool_dir=str(tmp_path / "spool")
    )
    numbers = range(1, 6)
    with recording.request():
        if is_async:
            receipts = asyncio.run(all_awaited(made, numbers))
        else:
            receipts = [made.queue.enqueue(event(number)) for number in numbers]
    assert receipts == [SPOOLED] * 5
    assert made.queue.enqueue(event(6)) == SPOOLED

    with RedisServer(port=port):
        assert made.queue.drain_spool(10)
        made.deliver()

    calls = ids(recording.sent)
    assert made.taken == dict.fromkeys(range(1, 7), 1)
    assert [sorted(linked(each)) for each in recording.attempts] == [
        sorted(calls[:3]), sorted(calls[3:])
    ]  # fmt: skip


async def all_awaited(made: Delivering, numbers: range) -> list[Any]:
    """The receipts of awaits, one after the other."""
    queue = vwo_celery.aio.AioQueue(made.queue)
    receipts = [await queue.enqueue(event(number)) for number in numbers]
    await queue.aclose()
    return receipts


@pytest.fixture(autouse=True)
def _nothing_is_instrumented() -> Iterator[None]:
    """No test of this file leaves a current span behind."""
    from opentelemetry import trace

    assert trace.get_current_span() is trace.INVALID_SPAN
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN
