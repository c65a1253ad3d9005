"""Tracing changes nothing else: bytes, receipts and outcomes are as without OpenTelemetry."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis as redis_py
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor

from tools.recording import Recording, ids, linked, parent
from tools.relays import ACCOUNT, FME, KEY
from tools.selective_vwo import Delivering, Make, Vwo, event
from vwo_celery.queue.scripts import script
from vwo_celery.receipts import IN_REDIS
from vwo_celery.relay import relay_app
from vwo_celery.tracing import api
from vwo_celery.tracing.carried import read_contexts

pytestmark = pytest.mark.declared_keys(
    "ready",
    "leases",
    "info",
    "dead",
    "batch",
    "slots",
    "wakeups",
    "watched",
    "open",
    "traces",
    "traced",
)


class Raising(SpanProcessor):
    """A processor that is broken."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Raise."""
        raise RuntimeError("on_start is broken")

    def on_end(self, span: Any) -> None:
        """Raise."""
        raise RuntimeError("on_end is broken")


def test_a_broken_processor_changes_no_outcome(make: Make, vwo: Vwo) -> None:
    """What a processor raises reaches neither the caller nor the worker: events are delivered."""
    recording = Recording(Raising())
    made = make()
    healthy = Recording()
    with recording.in_force(), healthy.request():
        assert made.queue.enqueue(event(1)) == IN_REDIS
        assert made.queue.enqueue_many([event(2)]) == [IN_REDIS]
        made.deliver()

    assert made.taken == {1: 1, 2: 1}


def test_bodies_are_the_same_with_and_without(recording: Recording, make: Make, vwo: Vwo) -> None:
    """VWO is sent the same bytes whether the calls were recorded or not, and no header of a trace."""
    made = make(per_request=3)
    made.enqueue(1, 2, 3)
    made.deliver()
    with recording.request():
        made.enqueue(1, 2, 3)
        made.deliver()

    plain, traced = vwo.standin.requests
    assert traced.body == plain.body
    assert [name for name, _ in traced.headers] == [name for name, _ in plain.headers]
    assert len(recording.sent) == 1


def sent_by(made: Delivering, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> Any:
    """The bytes that a producer sends to Redis meanwhile."""
    sent: list[bytes] = []
    client = type(made.shard.client)
    exchange = client.exchange

    def note(self: Any, key: str, packed: bytes, *more: Any) -> Any:
        sent.append(packed)
        return exchange(self, key, packed, *more)

    with monkeypatch.context() as patch:
        patch.setattr(client, "exchange", note)
        act()
    return sent


def without_numbers(packed: bytes) -> list[bytes]:
    """The words of a call of append.lua, but for the mark's numbers, which each call raises."""
    words = packed.split(b"\r\n")[2::2]
    assert words[1] == script("append").sha.encode()
    return words[:6] + words[8:]


def test_calls_that_are_not_sampled_send_the_same_bytes(
    make: Make, monkeypatch: pytest.MonkeyPatch, redis: redis_py.Redis
) -> None:
    """Without the API, without a span, and in a trace that is not sampled: append.lua, and no context."""
    unsampled = Recording(share=0.0)
    made = make(per_request=100)
    made.enqueue(0)
    made.queue.enqueue(event(1))

    def enqueue() -> None:
        assert made.queue.enqueue(event(7)) == IN_REDIS

    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "opentelemetry.trace")
        (without_api,) = sent_by(made, monkeypatch, enqueue)
    with unsampled.in_force():
        (without_span,) = sent_by(made, monkeypatch, enqueue)
        with unsampled.request():
            (not_sampled,) = sent_by(made, monkeypatch, enqueue)

    ways = [without_numbers(each) for each in (without_api, without_span, not_sampled)]
    assert ways[0] == ways[1] == ways[2]
    assert redis.keys("*:trac*") == []
    assert unsampled.exporter.get_finished_spans() == ()


def test_a_recorded_call_takes_one_round_trip(
    recording: Recording, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event and its context go in one script of one exchange."""
    made = make(per_request=100)
    made.enqueue(0)
    with recording.request():
        sent = sent_by(made, monkeypatch, lambda: made.queue.enqueue(event(1)))

    assert len(sent) == 1
    assert b"00-" in sent[0]


@pytest.mark.parametrize(
    ("state", "kept"), [("", ""), ("a=b", " a=b"), ("a=" + "b" * 255, "")],
    ids=["none", "short", "too long"],
)  # fmt: skip
def test_the_state_of_a_trace_is_bounded(
    recording: Recording, make: Make, state: str, kept: str
) -> None:
    """The tracestate of the caller is kept up to 256 bytes, and left out beyond."""
    made = make()
    above = trace.SpanContext(
        1, 2, is_remote=True, trace_flags=trace.TraceFlags(1),
        trace_state=trace.TraceState.from_header([state] if state else []),
    )  # fmt: skip
    with trace.use_span(trace.NonRecordingSpan(above)):
        made.enqueue(1)

    (line,) = made.shard.client.lrange(made.shard.keys.traces, 0, -1)
    ((_, span),) = ids(recording.sent)
    assert line.decode().partition("00-")[2] == f"{1:032x}-{span:016x}-01{kept}"


def test_contexts_that_cannot_be_read_are_no_links(
    recording: Recording, sealed: Delivering, redis: redis_py.Redis
) -> None:
    """Whatever another program writes there, the batch is delivered, with the links that can be read."""
    ((name, kept),) = redis.hgetall(sealed.shard.keys.traced).items()
    good = read_contexts(kept)[0][0]
    redis.hset(
        sealed.shard.keys.traced, name, f"x\nnonsense\n\n00-zz\xe9-01\n{good}".encode("latin-1")
    )

    sealed.deliver()

    (attempt,) = recording.attempts
    assert linked(attempt) == ids(recording.sent)
    assert sealed.taken == {1: 1}


# -- the relay

EVENTS = b'{"ev":[{"d":{"msgId":"A-1","visId":"A","event":{"name":"x","time":1,"props":{}}}}]}'
TRACE, SPAN = 0xABC, 0xDEF


@pytest.mark.parametrize("is_instrumented", [False, True], ids=["by header", "by its framework"])
def test_a_relays_call_is_below_the_request(
    recording: Recording, redis_url: str, is_instrumented: bool
) -> None:
    """The header names the parent where no span is current; else the current one is the parent."""
    relay = relay_app(accounts={int(ACCOUNT): [KEY]}, redis_url=redis_url)

    async def post() -> int:
        transport = httpx.ASGITransport(relay)
        headers = {"traceparent": f"00-{TRACE:032x}-{SPAN:016x}-01"}
        async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
            if not is_instrumented:
                return (await client.post(FME, content=EVENTS, headers=headers)).status_code
            with recording.request():
                return (await client.post(FME, content=EVENTS, headers=headers)).status_code

    async def main() -> int:
        status = await post()
        await relay.aclose()
        return status

    assert asyncio.run(main()) == 200
    (sent,) = recording.sent
    expected = ids(recording.spans("request"))[0] if is_instrumented else (TRACE, SPAN)
    assert parent(sent) == expected


# -- without OpenTelemetry

WITHOUT = """
import sys
class Refusing:
    def find_spec(self, name, *more):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refusing())
import vwo_celery, vwo_celery.aio, vwo_celery.tasks, vwo_celery.relay, vwo_celery.otel
from vwo_celery.delivering import delivery
queue = vwo_celery.connect(vwo_celery.Destination(account_id=1, sdk_key="k", generation="fme"),
                           redis_url=sys.argv[1], spool_dir="")
assert queue.enqueue({"n": 1}).where == "redis"
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""


def test_it_works_without_opentelemetry(redis_url: str) -> None:
    """Where the API is not installed, everything is imported, and an event is stored."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, redis_url], capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stderr) == (0, "")


def test_without_a_provider_no_context_is_asked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that has only the API reads no contexts from Redis."""
    made = make()
    made.enqueue(1)
    asked: list[str] = []
    monkeypatch.setattr(type(made.shard), "contexts_of", lambda self, name: asked.append(name))

    made.deliver()

    assert not api.has_provider()
    assert asked == []
    assert made.taken == {1: 1}


def test_urllib3s_instrumentation_records_the_post_alone(recording: Recording, make: Make) -> None:
    """Where urllib3 is instrumented, ours adds no span of its own."""
    from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor

    made = make()
    made.enqueue(1)
    URLLib3Instrumentor().instrument(tracer_provider=recording.provider)
    try:
        made.deliver()
    finally:
        URLLib3Instrumentor().uninstrument()

    (post,) = recording.spans("POST")
    assert parent(post) == ids(recording.attempts)[0]
