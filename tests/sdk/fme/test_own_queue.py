"""The FME SDK's own batching, without vwo_celery, compared with the shared queue.

These tests document the behaviour of vwo-fme-python-sdk 1.65.0, the version that
requirements-fme.txt pins; each is a row of docs/explanation/comparison.md. The shared
queue's side is tested beside it, unless test_fme_taking_over.py or test_fme_tracking.py does.
"""

from __future__ import annotations

import signal

import pytest

pytestmark = pytest.mark.declared_keys("watched")

# start(): a client on the SDK's own queue, whose callback appends to `answered`.
OWN = """
import queue, threading, time
import vwo
from vwo_celery.testing import wait_for

answered, pauses, sleep = queue.Queue(), [], time.sleep
# The pauses between the SDK's tries are noted instead of made.
time.sleep = lambda seconds: pauses.append(seconds) if seconds >= 1 else sleep(seconds)

def start(**batching):
    batching["flush_callback"] = lambda error, events: answered.put((error, len(events)))
    return vwo.init({**OPTIONS, "batch_event_data": batching})

def outcome(client):
    # What the callback is told of the flush under way, once what failed is queued again.
    told = answered.get(timeout=20)
    wait_for(lambda: not client.batch_event_queue.is_batch_processing)
    return told

def timers():
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]

"""
# start(): a client on the shared queue.
SHARED = """
import vwo

def start(**batching):
    client = vwo.init({**OPTIONS, "batch_event_data": batching})
    vwo_celery.attach(client, redis_url=REDIS_URL)
    return client

"""
TWO_PROCESSES = """
from multiprocessing import get_context
both_tracked = get_context("fork").Barrier(2, timeout=20)

def visit():
    client = start(events_per_request=2)
    client.track_event("purchase", USER)
    both_tracked.wait()
    tell(**{f"held by {os.getpid()}": len(client.batch_event_queue.batch_queue)})

tell(codes=in_processes(visit, visit))
"""
KILLED = """
def visit_and_die_of(number):
    client = start(events_per_request=100)
    client.track_event("purchase", USER)
    tell(**{f"held at {number}": len(client.batch_event_queue.batch_queue)})
    os.kill(os.getpid(), number)

tell(codes=in_processes(*[lambda number=number: visit_and_die_of(number) for number in F["signals"]]))
"""
SIGNALS = (signal.SIGTERM, signal.SIGKILL)
DEATHS = [-number for number in SIGNALS]


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
        SHARED,
        TWO_PROCESSES,
        "tell(whole=bool(vwo_celery.queue_of(start(events_per_request=2)).flush_events()))\n",
    )

    assert told.facts["codes"] == [0, 0]
    assert told.facts["whole"]
    assert [len(batch.events) for batch in standin.batches] == [2]


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
    assert [len(batch.events) for batch in standin.batches] == [2]


def test_an_orderly_end_loses_the_queue(application, standin):
    """Vendor: the SDK's timers keep an ending process alive, and the flush they make then is lost.

    The flush empties the queue, and then the thread that should send cannot be started any more.
    """
    told = application(
        OWN,
        """
        client = start(request_time_interval=2)
        client.track_event("purchase", USER)
        own = client.batch_event_queue
        timer, held = own.timer, len(own.batch_queue)

        def look_after_the_end():
            threading.main_thread().join()
            timer.join()
            tell(held_before=held, held_after=len(own.batch_queue), kept_by=len(timers()))
            os._exit(0)

        threading.Thread(target=look_after_the_end).start()
        sys.exit()
        """,
    )

    assert told.facts == {"held_before": 1, "held_after": 0, "kept_by": 1}
    assert "cannot schedule new futures after interpreter shutdown" in told.log
    assert standin.batches == []


# --- fork ----------------------------------------------------------------------------------------


def test_a_fork_copies_the_queue_and_shares_the_connection_but_not_the_timer(application, standin):
    """Vendor: an event queued before the fork is sent by the parent and by each child.

    All send over the one connection that the parent opened, and no child has a timer. The processes
    flush one after the other: at the same time, their requests would mix.
    """
    told = application(
        OWN,
        """
        opened = []
        sys.addaudithook(lambda name, _: opened.append(name) if name == "socket.connect" else None)
        client = start(events_per_request=100)
        client.track_event("purchase", USER)

        def flush(who, **facts):
            del opened[:]
            client.flush_events()
            facts["error"], _ = outcome(client)
            tell(**{who: {**facts, "opened": len(opened)}})

        assert opened and timers()
        for number in range(3):
            tell(code=in_processes(lambda: flush(f"child {number}", timers=len(timers()))))
        flush("parent")
        os._exit(0)
        """,
    )

    sent = {"error": None, "opened": 0}
    assert told.facts == {
        **{f"child {number}": {"timers": 0, **sent} for number in range(3)},
        "parent": sent,
        "code": [0],
    }
    assert [len(batch.events) for batch in standin.batches] == [1] * 4
    assert len({event["d"]["msgId"] for event in standin.events}) == 1


# --- VWO answers 500, 413, 400 -------------------------------------------------------------------


def test_what_vwo_refuses_is_queued_again_whatever_the_answer(application, standin):
    """Vendor: the callback gets the status; 500 and 413 are attempted 4 times per flush, 400 once.

    The batch is never given up: it is sent again at every flush, whatever VWO answers.
    """
    standin.fail(*[500] * 4, *[413] * 4, *[400] * 5)

    told = application(
        OWN,
        """
        client = start(events_per_request=100)
        client.track_event("purchase", USER)
        outcomes = []
        for _ in range(8):
            client.flush_events()
            outcomes.append([*outcome(client), len(client.batch_event_queue.batch_queue)])
        tell(outcomes=outcomes, pauses=pauses)
        os._exit(0)
        """,
    )

    refused = [[f"Failed with status code: {status}", 1, 1] for status in (500, 413, *[400] * 5)]
    assert told.facts == {"outcomes": [*refused, [None, 1, 0]], "pauses": [2, 4, 8] * 2}
    assert [b.status for b in standin.batches] == [500] * 4 + [413] * 4 + [400] * 5 + [200]
    assert len({batch.body for batch in standin.batches}) == 1


def test_a_queue_that_vwo_refuses_grows_and_is_sent_whole_for_every_event(application, standin):
    """Vendor: after a failed batch, events_per_request bounds neither the queue nor a POST."""
    standin.fail(*[400] * 10)

    told = application(
        OWN,
        """
        client = start(events_per_request=2)
        client.track_event("purchase", USER)
        for _ in range(10):
            client.track_event("purchase", USER)
            outcome(client)
        tell(held=len(client.batch_event_queue.batch_queue))
        os._exit(0)
        """,
    )

    assert told.facts == {"held": 11}
    assert [len(batch.events) for batch in standin.batches] == list(range(2, 12))


# --- one event that JSON cannot carry ------------------------------------------------------------


def test_an_event_that_json_cannot_carry_blocks_its_batch(application, standin):
    """Vendor: track_event returns True for a NaN; from then on no flush sends anything."""
    told = application(
        OWN,
        """
        client = start(events_per_request=100)
        tracked = client.track_event("purchase", USER, {"price": float("nan")})
        errors = []
        for _ in range(2):
            client.track_event("purchase", USER)
            client.flush_events()
            errors.append(outcome(client)[0])
        tell(tracked=tracked, errors=errors, held=len(client.batch_event_queue.batch_queue))
        os._exit(0)
        """,
    )

    assert (told.facts["tracked"], told.facts["held"]) == ({"purchase": True}, 3)
    assert all("not JSON compliant" in error for error in told.facts["errors"])
    assert standin.batches == []


def test_here_an_event_that_json_cannot_carry_is_dropped_alone(application, standin, worker):
    """The NaN is counted as dropped; events tracked before and after it are delivered."""
    told = application(
        SHARED,
        """
        client = start(events_per_request=100)
        client.track_event("purchase", USER)
        client.track_event("purchase", USER, {"price": float("nan")})
        client.track_event("purchase", USER)
        tell(whole=bool(client.flush_events()), dropped=vwo_celery.queue_of(client).dropped)
        """,
    )

    assert told.facts == {"whole": True, "dropped": {"not_json": 1}}
    assert [len(batch.events) for batch in standin.batches] == [2]


# --- more than 5,000 events in one POST ----------------------------------------------------------


def test_after_an_outage_more_goes_into_a_post_than_vwo_takes(application, standin):
    """Vendor: a failed POST of 5,000 events is queued again and sent with the next event, as 5,001.

    VWO answers 413 to that, and from then on the queue only grows. All but two events are put
    straight on the SDK's queue: tracking takes a millisecond for each.
    """
    standin.fail(*[503] * 4)

    told = application(
        OWN,
        """
        client = start(events_per_request=5000)
        client.track_event("purchase", USER)
        [event] = client.batch_event_queue.batch_queue
        for _ in range(4999):
            client.batch_event_queue.enqueue(event)
        outcomes = [outcome(client)]
        client.track_event("purchase", USER)
        outcomes.append(outcome(client))
        tell(outcomes=outcomes, held=len(client.batch_event_queue.batch_queue))
        os._exit(0)
        """,
    )

    assert told.facts == {
        "outcomes": [
            ["Failed with status code: 503", 5000],
            ["Failed with status code: 413", 5001],
        ],
        "held": 5001,
    }
    assert [(len(batch.events), batch.status) for batch in standin.batches] == [
        *[(5000, 503)] * 4, *[(5001, 413)] * 4,
    ]  # fmt: skip


# --- flush_events --------------------------------------------------------------------------------


def test_flush_events_returns_false_whatever_becomes_of_the_events(application, standin):
    """Vendor: False for a batch that VWO accepts, for one that it refuses, and for an empty queue."""
    standin.fail(None, 400, None)

    told = application(
        OWN,
        """
        client = start(events_per_request=100)
        flushes = []
        for events in (1, 1, 0, 0):
            for _ in range(events):
                client.track_event("purchase", USER)
            returned = client.flush_events()
            flushes.append([returned, *outcome(client)])
        tell(flushes=flushes)
        os._exit(0)
        """,
    )

    assert told.facts["flushes"] == [
        [False, None, 1],
        [False, "Failed with status code: 400", 1],
        [False, None, 1],
        [False, None, 0],
    ]


# --- empty requests when idle --------------------------------------------------------------------


def test_an_idle_client_sends_an_empty_request_every_interval(application, standin):
    """Vendor: the timer starts at init, and its request may have no events."""
    told = application(
        OWN,
        """
        client = start(request_time_interval=1)
        tell(outcomes=[outcome(client), outcome(client)])
        os._exit(0)
        """,
    )

    assert told.facts == {"outcomes": [[None, 0], [None, 0]]}
    assert [batch.events for batch in standin.batches] == [[], []]
