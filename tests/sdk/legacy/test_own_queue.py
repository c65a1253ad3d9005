"""The legacy SDK's own batching, without vwo_celery, compared with the shared queue.

These tests document the behaviour of vwo-python-sdk 1.68.2, the version that
requirements-legacy.txt pins; each is a row of docs/explanation/comparison.md. The shared
queue's side is tested beside it, unless test_legacy_attach.py does.
"""

from __future__ import annotations

import signal
import time

import pytest

import vwo_celery
from vwo_celery.producing.queue import producer_of
from vwo_celery.testing import Standin, wait_for

pytestmark = pytest.mark.declared_keys("watched")

# start(): a client on the SDK's own queue.
OWN = """
import threading

def start(**batching):
    return vwo.launch(SETTINGS, batch_events=batching)

def held_by(client):
    return len(client.event_dispatcher.queue)

"""
# start(): a client on the shared queue.
SHARED = """
def start(**batching):
    client = vwo.launch(SETTINGS, batch_events=batching)
    vwo_celery.attach(client, redis_url=REDIS_URL)
    return client

def held_by(client):
    return len(client.event_dispatcher.queue)

"""
TWO_PROCESSES = """
from multiprocessing import get_context
both_tracked = get_context("fork").Barrier(2, timeout=20)

def visit():
    client = start(events_per_request=2)
    client.push("plan", "gold", "user-1")
    both_tracked.wait()
    tell(**{f"held by {os.getpid()}": held_by(client)})

tell(codes=in_processes(visit, visit))
"""
KILLED = """
def visit_and_die_of(number):
    client = start(events_per_request=100)
    client.push("plan", "gold", "user-1")
    tell(**{f"held at {number}": held_by(client)})
    os.kill(os.getpid(), number)

tell(codes=in_processes(*[lambda number=number: visit_and_die_of(number) for number in F["signals"]]))
"""
SIGNALS = (signal.SIGTERM, signal.SIGKILL)
DEATHS = [-number for number in SIGNALS]
#: Text of an event that VWO answers with 400, whatever else is in the batch.
UNREADABLE = "unreadable"


@pytest.fixture
def standin():
    """A stand-in for VWO that cannot read one kind of event."""

    def refuse(request):
        return 400 if UNREADABLE.encode() in request.body else None

    with Standin(faults=refuse) as running:
        yield running


@pytest.fixture
def own(launch):
    """Launch a client on the SDK's own queue, and return it with the calls of its callback."""
    launched = []

    def start(**batching):
        calls = []
        batching["flush_callback"] = lambda error, events: calls.append((error, len(events)))
        client = launch(batch_events=batching)
        launched.append(client)
        return client, calls

    yield start
    for client in launched:
        if client.event_dispatcher.timer is not None:
            client.event_dispatcher.timer.cancel()


def batch_sizes(standin):
    """Number of events in each POST."""
    return [len(batch.events) for batch in standin.batches]


# --- queue shared by processes -------------------------------------------------------------------


def test_each_process_has_a_queue_of_its_own(application, standin):
    """Vendor: two processes with half a batch each send nothing."""
    told = application(OWN, TWO_PROCESSES)

    assert told.facts.pop("codes") == [0, 0]
    assert list(told.facts.values()) == [1, 1]
    assert standin.batches == []


def test_here_two_processes_fill_one_batch(application, standin, worker):
    """Two processes with half a batch each send one POST with both events."""
    told = application(
        SHARED, TWO_PROCESSES, "tell(whole=bool(start(events_per_request=2).flush_events()))\n"
    )

    assert told.facts["codes"] == [0, 0]
    assert told.facts["whole"]
    assert batch_sizes(standin) == [2]


# --- SIGTERM, SIGKILL, deploy --------------------------------------------------------------------


def test_a_signal_loses_the_queue(application, standin):
    """Vendor: a process ended by SIGTERM or SIGKILL sends none of its queued events."""
    told = application(OWN, KILLED, signals=SIGNALS)

    assert told.facts == {"codes": DEATHS, **{f"held at {number}": 1 for number in SIGNALS}}
    assert standin.batches == []


def test_here_a_signal_loses_nothing(application, standin, worker):
    """Events of killed processes are delivered at the next process' flush."""
    told = application(
        SHARED,
        KILLED,
        "tell(whole=bool(start(events_per_request=100).flush_events()))\n",
        signals=SIGNALS,
    )

    assert (told.facts["codes"], told.facts["whole"]) == (DEATHS, True)
    assert batch_sizes(standin) == [2]


def test_an_orderly_end_waits_for_the_timer(application, standin):
    """Vendor: an ending process sends nothing until its interval, 600 seconds by default, is over.

    A process killed before that, as in a deploy after some seconds of grace, loses its queue.
    """
    told = application(
        OWN,
        """
        client = start(events_per_request=100)
        client.push("plan", "gold", "user-1")

        def look_after_the_end():
            threading.main_thread().join()
            tell(held=held_by(client), kept_by_timer=client.event_dispatcher.timer.is_alive())
            os.kill(os.getpid(), 9)

        threading.Thread(target=look_after_the_end).start()
        sys.exit()
        """,
        exit_code=-signal.SIGKILL,
    )

    assert told.facts == {"held": 1, "kept_by_timer": True}
    assert standin.batches == []


# --- fork ----------------------------------------------------------------------------------------


def test_a_fork_copies_the_queue_but_not_the_timer(application, standin):
    """Vendor: an event queued before the fork is sent by the parent and by each child.

    The timer starts with a queue's first event, which a child has already: its own events wait for
    a full batch, or for a flush.
    """
    told = application(
        OWN,
        """
        client = start(events_per_request=100)
        client.push("queued", "before", "user-1")

        def child():
            client.push("queued", "after", "user-1")
            timers = [t for t in threading.enumerate() if isinstance(t, threading.Timer)]
            tell(**{f"child {os.getpid()}": [held_by(client), len(timers)]})
            client.flush_events("sync")

        codes = [in_processes(child) for _ in range(3)]
        client.flush_events("sync")
        tell(codes=codes)
        """,
    )

    assert told.facts.pop("codes") == [[0]] * 3
    assert list(told.facts.values()) == [[2, 0]] * 3
    assert batch_sizes(standin) == [2, 2, 2, 1]
    assert len({batch.events[0]["sId"] for batch in standin.batches}) == 1
    assert {batch.events[0]["t"] for batch in standin.batches} == {'{"u": {"queued": "before"}}'}


# --- VWO answers 500, 413, 400 -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "tries", "expected_pauses"), [(500, 4, [6, 12]), (413, 1, []), (400, 1, [])]
)
def test_what_vwo_refuses_is_dropped_and_reported_as_sent(
    status, tries, expected_pauses, own, standin, monkeypatch
):
    """Vendor: the callback gets None, as for success; 500 is attempted 4 times before, others once.

    The next batch holds only its own event. The pauses between the attempts are recorded, not
    waited for.
    """
    standin.fail(*[status] * tries)
    pauses, sleep = [], time.sleep
    monkeypatch.setattr(time, "sleep", lambda s: pauses.append(s) if s >= 1 else sleep(s))
    client, calls = own(events_per_request=100)

    for plan in ("gold", "silver"):
        client.push("plan", plan, "user-1")
        assert client.flush_events("sync") is True

    assert calls == [(None, 1), (None, 1)]
    assert pauses == expected_pauses
    assert [batch.status for batch in standin.batches] == [status] * tries + [200]
    assert [event["t"] for event in standin.events] == ['{"u": {"plan": "silver"}}']


@pytest.mark.parametrize("status", [500, 413, 400])
def test_here_what_vwo_does_not_take_is_sent_again(status, launch, redis_url, standin, worker):
    """A batch that VWO answers with 500, 413 or 400 is kept, and delivered once VWO takes it."""
    client = launch()
    vwo_celery.attach(client, redis_url=redis_url)
    client.push("plan", "gold", "user-1")
    assert client.flush_events()
    standin.fail(status)

    client.push("plan", "silver", "user-1")
    flushed = client.flush_events()

    assert (bool(flushed), flushed.delivered) == (True, 1)
    assert [batch.status for batch in standin.batches] == [200, status, 200]
    assert [event["t"] for event in standin.events] == [
        '{"u": {"plan": "gold"}}', '{"u": {"plan": "silver"}}'
    ]  # fmt: skip


@pytest.mark.declared_keys("dead", "info", "batch")
def test_here_only_the_event_to_blame_is_kept_as_dead(launch, redis_url, standin, worker):
    """Of a batch that VWO answers with 400, all other events are delivered, and the flush says so."""
    client = launch()
    queue = vwo_celery.attach(client, redis_url=redis_url)
    client.push("plan", "gold", "user-1")
    assert client.flush_events()

    for plan in ("silver", UNREADABLE, "bronze"):
        client.push("plan", plan, "user-1")
    flushed = client.flush_events()

    assert (bool(flushed), flushed.delivered, flushed.failed) == (False, 2, 1)
    assert worker.fleet.client.zcard(producer_of(queue).shards[0].keys.dead) == 1
    assert [event["t"] for event in standin.events] == [
        f'{{"u": {{"plan": "{plan}"}}}}' for plan in ("gold", "silver", "bronze")
    ]


# --- one event that JSON cannot carry ------------------------------------------------------------


def test_an_event_that_json_cannot_carry_drops_its_batch(own, standin):
    """Vendor: a NaN loses the events queued with it, and yet the callback gets None."""
    client, calls = own(events_per_request=100)

    client.push("plan", "gold", "user-1")
    tracked = client.track("ab_full", "user-1", "purchase", revenue_value=float("nan"))
    flushed = client.flush_events("sync")

    assert (tracked, flushed) == ({"ab_full": True}, True)
    assert calls == [(None, 2)]
    assert client.event_dispatcher.queue == []
    assert standin.batches == []


def test_here_an_event_that_json_cannot_carry_is_dropped_alone(launch, redis_url, standin, worker):
    """The NaN is counted as dropped; the events queued with it are delivered."""
    client = launch()
    queue = vwo_celery.attach(client, redis_url=redis_url)

    client.push("plan", "gold", "user-1")
    client.track("ab_full", "user-1", "purchase", revenue_value=float("nan"))
    flushed = client.flush_events()

    assert flushed
    assert queue.dropped == {"not_json": 1}
    assert [event["eT"] for event in standin.events] == [3]


# --- more than 5,000 events in one POST ----------------------------------------------------------


def test_the_queue_never_holds_more_than_a_batch(own, standin):
    """Vendor: failed events are gone, and no POST has more events than events_per_request."""
    standin.fail(400)
    client, calls = own(events_per_request=2)

    for number in range(5):
        client.push("n", str(number), "user-1")
    wait_for(lambda: len(calls) == 2, what="two full batches, sent by threads")
    client.flush_events("sync")

    assert sorted(batch_sizes(standin)) == [1, 2, 2]


def test_here_5001_events_leave_in_two_posts(launch, redis_url, standin, worker):
    """However many events wait, a POST has at most events_per_request of them: at most 5,000."""
    client = launch(batch_events={"events_per_request": 5000})
    queue = vwo_celery.attach(client, redis_url=redis_url)

    client.push("plan", "gold", "user-1")
    receipts = queue.enqueue_many([{"u": "A" * 32, "sId": 1, "t": "{}", "eT": 3}] * 5000)
    flushed = client.flush_events()

    assert all(receipts)
    assert flushed
    assert sorted(batch_sizes(standin)) == [1, 5000]


# --- flush_events --------------------------------------------------------------------------------


def test_flush_events_without_a_mode_does_nothing(own, standin):
    """Vendor: without "sync" or "async" it returns False, and all events stay queued."""
    client, calls = own(events_per_request=100)
    client.push("plan", "gold", "user-1")

    flushed = client.flush_events()

    assert flushed is False
    assert len(client.event_dispatcher.queue) == 1
    assert (calls, standin.batches) == ([], [])


def test_flush_events_returns_true_whatever_vwo_says(own, standin):
    """Vendor: True for a batch that VWO accepts, for one that it refuses, and for an empty queue."""
    standin.fail(None, 400)
    client, _ = own(events_per_request=100)

    flushes = []
    for events in (1, 1, 0):
        for _ in range(events):
            client.push("plan", "gold", "user-1")
        flushes.append(client.flush_events("sync"))

    assert flushes == [True, True, True]
    assert [batch.status for batch in standin.batches] == [200, 400]


# --- empty requests when idle --------------------------------------------------------------------


def test_an_idle_client_sends_nothing(own, standin):
    """Vendor: a timer runs only while events are queued.

    A timer started with the client would have sent a request before the event's own.
    """
    client, _ = own(request_time_interval=1)
    assert client.event_dispatcher.timer is None

    client.push("plan", "gold", "user-1")
    timer = client.event_dispatcher.timer
    wait_for(lambda: standin.batches, what="the batch of the event's timer")
    timer.join()

    assert client.event_dispatcher.timer is timer
    assert batch_sizes(standin) == [1]
