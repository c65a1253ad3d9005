"""What attach takes over from a running FME client: its events, its timers and its polling."""

from __future__ import annotations

import pytest

from sdk.fme.attached import ATTACHED, names

pytestmark = pytest.mark.declared_keys("watched")


def test_events_that_the_sdks_own_queue_holds_are_moved(application, standin, worker):
    """Events tracked before attach, init events included, leave once, through the shared queue."""
    told = application(
        """
        import vwo
        client = vwo.init(OPTIONS)
        for _ in range(3):
            client.track_event("purchase", USER)
        vwo_celery.attach(client, redis_url=REDIS_URL)
        client.track_event("revenueEvent", USER)
        tell(whole=bool(client.flush_events()))
        """,
        options={"batch_event_data": {"request_time_interval": 600}},
    )

    assert told.facts == {"whole": True}
    assert names(standin.events) == ["purchase"] * 3 + ["revenueEvent"]


def test_a_batch_that_the_sdk_could_not_send_is_moved_when_it_fails(application, standin, worker):
    """If a POST of the SDK is in progress at attach and fails, its events go to the shared queue."""
    standin.fail(400)

    told = application(
        """
        import threading, vwo
        from wingify.packages.network_layer.manager.network_manager import NetworkManager
        client = vwo.init(OPTIONS)
        may_send, own = threading.Event(), client.batch_event_queue
        network = NetworkManager.get_instance()
        post, sent = network.post, threading.Event()
        def held_back(request):
            may_send.wait()
            return post(request)
        network.post = held_back
        client.track_event("purchase", USER)
        own.flush()
        queue = vwo_celery.attach(client, redis_url=REDIS_URL)
        may_send.set()
        from vwo_celery.testing import wait_for
        wait_for(lambda: not own.is_batch_processing)
        tell(whole=bool(client.flush_events()))
        """,
        options={"batch_event_data": {"request_time_interval": 600}},
    )

    assert told.facts == {"whole": True}
    assert [batch.status for batch in standin.batches] == [400, 200]


@pytest.mark.declared_keys("open")
def test_the_sdks_own_timers_are_off(application, standin, worker):
    """After attach no timer of the SDK's queue waits for its interval, and what it held is not sent."""
    told = application(
        """
        import threading, vwo
        client = vwo.init(OPTIONS)
        own = client.batch_event_queue
        client.track_event("purchase", USER)
        vwo_celery.attach(client, redis_url=REDIS_URL)
        own.timer.join(10)
        own.enqueue({"d": "from a thread that still held the old queue"})
        lasting = [
            thread.name for thread in threading.enumerate()
            if not thread.daemon and thread is not threading.main_thread()
        ]
        tell(timer=own.timer.is_alive(), held=len(own.batch_queue), lasting=lasting)
        """,
        options={"batch_event_data": {"events_per_request": 5, "request_time_interval": 60}},
    )

    assert told.facts == {"timer": False, "held": 0, "lasting": []}
    assert standin.batches == []


@pytest.mark.declared_keys("open")
def test_a_timer_started_by_the_thread_that_had_the_sdks_lock_is_stopped(application, standin):
    """A flush of the SDK's that ends while attach waits for its lock leaves no timer."""
    told = application(
        """
        import threading, vwo
        client = vwo.init(OPTIONS)
        own = client.batch_event_queue
        lock = own.lock

        class TakenBefore:
            def __enter__(self):
                type(own).create_new_batch_timer(own)
                return lock.__enter__()
            def __exit__(self, *error):
                return lock.__exit__(*error)

        own.lock = TakenBefore()
        vwo_celery.attach(client, redis_url=REDIS_URL)
        from vwo_celery.testing import wait_for
        wait_for(lambda: not [t for t in threading.enumerate() if not t.daemon][1:])
        client.track_event("purchase", USER)
        """,
        options={"batch_event_data": {"request_time_interval": 600}},
    )

    assert told.facts == {}


@pytest.mark.declared_keys("open")
def test_a_process_that_only_tracked_ends_by_itself_and_loses_nothing(application, standin, worker):
    """Neither the SDK's queue nor its polling keeps the process alive; its events are in Redis.

    The application's time limit is far below the SDK's polling interval of 600 seconds.
    """
    application(ATTACHED, 'client.track_event("purchase", USER)\n')

    [shard] = worker.fleet.watched()
    assert worker.fleet.client.llen(shard.keys.open) == 1


def test_polling_goes_on_as_a_daemon(application, standin):
    """The SDK still fetches its settings at its interval, and its timers delay no exit."""
    told = application(
        """
        import threading, vwo
        client = vwo.init(OPTIONS)
        vwo_celery.attach(client, redis_url=REDIS_URL)
        from vwo_celery.testing import wait_for
        def rearmed():
            return [t for t in threading.enumerate() if isinstance(t, threading.Timer)]
        first = rearmed()
        wait_for(lambda: rearmed() and not set(rearmed()) & set(first), 20)
        tell(timers=len(rearmed()), daemons=all(timer.daemon for timer in rearmed()))
        """,
        options={"poll_interval": 1000},
    )

    assert told.facts == {"timers": 1, "daemons": True}
    assert len([request for request in standin.requests if request.method == "GET"]) >= 2


@pytest.mark.declared_keys("wakeups", "batch", "info", "ready", "slots")
def test_the_sdk_itself_sends_no_batch_after_attach(application, standin):
    """All events leave through the queue only: without a worker, no batch reaches VWO."""
    told = application(
        ATTACHED,
        """
        client.get_flag("checkout", USER)
        client.get_flag("plain_off", USER)
        client.track_event("purchase", USER)
        client.set_attribute("tier", "gold", USER)
        from functools import partial
        queue.flush_events = partial(queue.flush_events, timeout_seconds=0.2)
        result = client.flush_events()
        tell(pending=result.pending, whole=bool(result), reason=result.reason)
        """,
    )

    assert standin.batches == []
    assert told.facts["pending"] == 4
    assert not told.facts["whole"]
    assert "no worker listens" in told.facts["reason"]


@pytest.mark.declared_keys("wakeups", "batch", "info", "ready", "slots")
def test_flush_events_tells_what_vwo_did_not_take(application, standin, worker):
    """A batch that VWO answers with 503 is reported as pending, not as sent."""
    standin.fail(*[503] * 50)

    told = application(
        ATTACHED,
        """
        client.track_event("purchase", USER)
        result = vwo_celery.queue_of(client).flush_events(timeout_seconds=1)
        tell(delivered=result.delivered, pending=result.pending, whole=bool(result))
        """,
    )

    assert told.facts == {"delivered": 0, "pending": 1, "whole": False}


def test_development_mode_sends_nothing(application, worker):
    """With isDevelopmentMode flags are decided and nothing is enqueued, which the SDK only documents."""
    told = application(
        ATTACHED,
        """
        tell(enabled=client.get_flag("checkout", USER).is_enabled())
        client.track_event("purchase", USER)
        """,
        options={"isDevelopmentMode": True},
    )

    assert told.facts == {"enabled": True}
    assert worker.fleet.registrations().readable == {}


@pytest.mark.parametrize("own", [{"request_time_interval": 600}, None])
def test_development_mode_discards_what_the_sdk_had_queued(
    own, application, standin, worker, settings
):
    """Events of before attach, those of init and those on their way included, are test traffic."""
    settings.update({"sdkMetaInfo": {}, "usageStatsAccountId": 777} if own else {})

    told = application(
        """
        import vwo
        client = vwo.init(OPTIONS)
        own = client.batch_event_queue
        if own:
            client.track_event("purchase", USER)
            tell(held=len(own.batch_queue))
        vwo_celery.attach(client, redis_url=REDIS_URL)
        if own:
            own.enqueue({"d": "from a thread that still held the old queue"})
            own.batch_queue.extend([{"d": "of a POST of the SDK's that has failed"}])
        client.track_event("purchase", USER)
        """,
        options={"isDevelopmentMode": True, "batch_event_data": own},
    )

    assert told.facts == ({"held": 3} if own else {})
    assert worker.fleet.registrations().readable == {}
    assert standin.batches == []
