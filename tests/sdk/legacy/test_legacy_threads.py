"""attach on a legacy client whose other threads are tracking, or flushing, at that very moment."""

from __future__ import annotations

import threading

import pytest

import vwo_celery
from vwo_celery.testing import wait_for

pytestmark = pytest.mark.declared_keys("watched")

WAIT_SECONDS = 10
IMPRESSION = {"u": "A" * 32, "sId": 1, "account_id": 1, "experiment_id": 101, "combination": 2}


def lasting_threads():
    """The threads that would keep the process from ending."""
    main = threading.main_thread()
    return [thread for thread in threading.enumerate() if not thread.daemon and thread is not main]


class Moment:
    """A moment in which another thread stays until `end` is called; this thread passes through it."""

    def __init__(self):
        self._reached, self._over = threading.Event(), threading.Event()
        self._passes = threading.current_thread()

    def __enter__(self):
        if threading.current_thread() is not self._passes:
            self._reached.set()
            assert self._over.wait(WAIT_SECONDS)

    def __exit__(self, *error):
        pass

    def log(self, *arguments):
        """Be the SDK's logger, whose every line is this moment."""
        with self:
            pass

    def start(self, work):
        """Do *work* in a thread, and return once it has reached this moment."""
        self._thread = threading.Thread(target=work)
        self._thread.start()
        assert self._reached.wait(WAIT_SECONDS)

    def end(self):
        """Let the thread go on, and wait for its end."""
        self._over.set()
        self._thread.join(WAIT_SECONDS)


def test_the_event_of_a_thread_that_waits_for_the_sdks_lock_is_sent(
    launch, redis_url, standin, worker
):
    """A thread that is about to put its event into the SDK's list hands it to the shared queue."""
    client = launch()
    client.activate("ab_full", "user-1")
    lock = client.event_dispatcher.lock = Moment()
    lock.start(lambda: client.track("ab_full", "user-1", "signup"))

    vwo_celery.attach(client, redis_url=redis_url)
    lock.end()
    result = client.flush_events()

    assert result
    assert [event["eT"] for event in standin.events] == [1, 2]
    assert lasting_threads() == []


def test_a_timer_started_by_the_thread_that_had_the_lock_is_stopped(
    launch, redis_url, standin, worker
):
    """The event of the thread that had the SDK's lock before attach is moved, and its timer is off."""
    client = launch()
    dispatcher = client.event_dispatcher
    lock, late = dispatcher.lock, dispatcher.async_dispatch

    class TakenBefore:
        def __enter__(self):
            dispatcher.lock = lock
            assert late("/track-user", IMPRESSION)
            return lock.__enter__()

        def __exit__(self, *error):
            return lock.__exit__(*error)

    dispatcher.lock = TakenBefore()
    vwo_celery.attach(client, redis_url=redis_url)

    wait_for(lambda: lasting_threads() == [], what="the end of the SDK's timer")
    assert client.flush_events()
    assert [event["eT"] for event in standin.events] == [1]


def test_a_flush_of_the_sdks_that_is_under_way_loses_and_doubles_nothing(
    launch, redis_url, standin, worker
):
    """Its events are moved from under it, and the plain list that it leaves behind takes none."""
    client = launch()
    dispatcher = client.event_dispatcher
    client.activate("ab_full", "user-1")
    late, dispatcher.logger = dispatcher.async_dispatch, Moment()
    dispatcher.logger.start(lambda flush=client.flush_events: flush(mode="sync"))

    vwo_celery.attach(client, redis_url=redis_url)
    dispatcher.logger.end()
    assert late("/push", {**IMPRESSION, "tags": "{}"})
    result = client.flush_events()

    assert result
    assert [event["eT"] for event in standin.events] == [1, 3]
    assert lasting_threads() == []


def test_an_attach_that_raises_leaves_the_client_as_it_was(launch, standin):
    """Without a queue that can be opened, the SDK goes on with its own, and nothing has been lost."""
    client = launch()
    client.activate("ab_full", "user-1")

    with pytest.raises(vwo_celery.errors.SettingsError, match="shards"):
        vwo_celery.attach(client, shards="abc")

    client.track("ab_full", "user-1", "signup")
    assert client.flush_events(mode="sync") is True
    assert [event["eT"] for event in standin.events] == [1, 2]
