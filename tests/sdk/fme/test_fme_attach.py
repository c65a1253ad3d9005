"""attach on a running FME client: its flags, its events and its process."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.declared_keys("watched")

SECOND_KEY = "c" * 32
DEAD_REDIS = "redis://127.0.0.1:1/0"
ATTACHED = """
import vwo
client = vwo.init(OPTIONS)
queue = vwo_celery.attach(client, redis_url=REDIS_URL)
"""


def names(events):
    """The events' names."""
    return [event["d"]["event"]["name"] for event in events]


# --- destination and batches ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("brand", "origin"),
    [("vwo", "https://dev.visualwebsiteoptimizer.com"), ("wingify", "https://collect.wingify.net")],
)
def test_without_a_proxy_events_go_to_the_brands_own_host(brand, origin, application):
    """Host and SDK name are those of the init that made the client."""
    told = application(
        """
        from wingify.services.settings_manager import SettingsManager
        from vwo_celery.sdk.fme import destination_of
        client = __import__(F["brand"]).init(OPTIONS)
        unproxied = {"sdk_key": OPTIONS["sdk_key"], "account_id": OPTIONS["account_id"]}
        SettingsManager({**unproxied, "is_via_vwo": F["brand"] == "vwo"})
        destination = destination_of(client)
        tell(origin=destination.origin, sdk=destination.sdk[0])
        os._exit(0)
        """,
        brand=brand,
    )

    assert told.facts == {"origin": origin, "sdk": f"{brand}-fme-python-sdk"}


def test_base_url_overrides_the_sdks_host(application):
    """Events go to base_url, whatever host the SDK has."""
    told = application(
        """
        import vwo
        queue = vwo_celery.attach(vwo.init(OPTIONS), base_url="https://collect.example")
        tell(origin=queue.destination.origin)
        """
    )

    assert told.facts == {"origin": "https://collect.example"}


@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        (None, "UNSET", [100, 600.0]),
        ({}, "UNSET", [100, 600.0]),
        ({"events_per_request": 7, "request_time_interval": 9}, "UNSET", [7, 9.0]),
        ({"events_per_request": 7}, {"events_per_request": 8}, [8, 600.0]),
    ],
)
def test_batch_options_are_the_arguments_else_the_clients_else_the_vendors(
    own, given, expected, application
):
    """Without batch_event_data, attach uses the client's own options; without those, 100 and 600."""
    told = application(
        """
        import msgspec, vwo
        client = vwo.init(OPTIONS)
        given = msgspec.UNSET if F["given"] == "UNSET" else F["given"]
        queue = vwo_celery.attach(client, batch_event_data=given)
        tell(batch=[queue.batch.events_per_request, queue.batch.request_time_interval])
        again = vwo_celery.attach(client)
        tell(again=[again.batch.events_per_request, again.batch.request_time_interval])
        """,
        options={"batch_event_data": own},
        given=given,
    )

    assert told.facts == {"batch": expected, "again": expected}


def test_the_clients_own_flush_callback_is_the_queues(application):
    """A callback function is stored by its import path, since workers call it."""
    told = application(
        """
        import vwo
        batching = {"events_per_request": 5, "flush_callback": json.dumps}
        queue = vwo_celery.attach(vwo.init({**OPTIONS, "batch_event_data": batching}))
        tell(callback=queue.batch.flush_callback)
        """
    )

    assert told.facts == {"callback": "json:dumps"}


def test_a_client_behind_the_gateway_service_is_refused_with_the_remedy(application):
    """A client behind the gateway service, which batches itself, is refused, with the remedy."""
    told = application(
        """
        import vwo
        client = vwo.init(OPTIONS)
        from wingify.services.settings_manager import SettingsManager
        gateway = {"url": OPTIONS["proxy_url"]}
        SettingsManager({**OPTIONS, "proxy_url": None, "gateway_service": gateway})
        try:
            vwo_celery.attach(client)
        except vwo_celery.errors.SdkError as exc:
            tell(error=str(exc), untouched=client.batch_event_queue is None)
        os._exit(0)
        """
    )

    assert "without gateway_service" in told.facts["error"]
    assert told.facts["untouched"]


def test_a_client_without_settings_is_refused_with_the_remedy(application, settings):
    """A client whose init could not fetch its settings tracks nothing and is refused."""
    settings.clear()

    told = application(
        """
        import vwo
        try:
            vwo_celery.attach(vwo.init(OPTIONS))
        except vwo_celery.errors.SdkError as exc:
            tell(error=str(exc))
        os._exit(0)
        """
    )

    assert "could not fetch them" in told.facts["error"]


# --- taking over ---------------------------------------------------------------------------------


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
    """After attach no timer of the SDK's queue runs, and nothing is sent when the interval is over."""
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
        options={"batch_event_data": {"events_per_request": 5, "request_time_interval": 1}},
    )

    assert told.facts == {"timer": False, "held": 0, "lasting": []}
    assert standin.batches == []


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


# --- the visitor comes first ---------------------------------------------------------------------


def test_a_dead_redis_costs_the_visitor_nothing(application):
    """Without Redis the flag is decided, tracking returns, and the events wait on the host's disk."""
    told = application(
        ATTACHED,
        """
        flag = client.get_flag("checkout", USER)
        tell(
            enabled=flag.is_enabled(),
            tracked=client.track_event("purchase", USER),
            flushed=bool(client.flush_events()),
            dropped=dict(queue.dropped), spooled=queue.spooled(),
        )
        """,
        redis_url=DEAD_REDIS,
    )

    assert told.facts == {
        "enabled": True, "tracked": {"purchase": True}, "flushed": False, "dropped": {}, "spooled": 3,
    }  # fmt: skip


def test_a_failure_of_the_queue_is_logged_once_counted_and_never_raised(application):
    """The flag is the one that VWO decided, whatever a queue raises, QueueFull included."""
    told = application(
        ATTACHED,
        """
        from vwo_celery.sdk.hook import hook_of
        def broken(*arguments, **keywords):
            raise RuntimeError("broken on purpose")
        queue.enqueue = queue.enqueue_many = queue.flush_events = broken
        flag = client.get_flag("checkout", USER)
        result = client.flush_events()
        tell(enabled=flag.is_enabled(), failures=hook_of(client).failures, reason=result.reason)
        """,
    )

    assert told.facts == {
        "enabled": True, "failures": 2, "reason": "RuntimeError: broken on purpose",
    }  # fmt: skip
    assert told.log.count("vwo_celery.sdk ERROR") == 1


# --- one decision, one round trip ----------------------------------------------------------------


@pytest.mark.declared_keys("open")
def test_the_events_of_one_get_flag_take_one_round_trip(application, worker):
    """A decision with two events asks Redis once; with one event, too, and a track_event likewise."""
    told = application(
        ATTACHED,
        """
        from redis import Redis
        redis = Redis.from_url(REDIS_URL)

        def scripts(work):
            def run():
                return sum(
                    each["calls"] for name, each in redis.info("commandstats").items()
                    if name.startswith("cmdstat_eval")
                )
            before = run()
            work()
            return run() - before

        client.track_event("purchase", USER)  # registers
        tell(
            flag=scripts(lambda: client.get_flag("checkout", USER)),
            track=scripts(lambda: client.track_event("purchase", USER)),
        )
        """,
    )

    assert told.facts == {"flag": 1, "track": 1}
    [shard] = worker.fleet.watched()
    assert worker.fleet.client.llen(shard.keys.open) == 4


def test_calls_within_calls_and_other_threads_keep_their_events(application, standin, worker):
    """What an integration tracks inside get_flag, or another thread meanwhile, is enqueued as well."""
    told = application(
        """
        import threading, vwo
        called = []
        def callback(properties):
            if called:
                return
            called.append(properties)
            thread = threading.Thread(target=client.track_event, args=("purchase", USER))
            thread.start()
            thread.join()
            client.track_event("revenueEvent", USER)
            client.get_flag("plain_off", USER)
        client = vwo.init({**OPTIONS, "integrations": {"callback": callback}})
        vwo_celery.attach(client, redis_url=REDIS_URL)
        enabled = client.get_flag("checkout", USER).is_enabled()
        tell(enabled=enabled, whole=bool(client.flush_events()))
        """,
    )

    assert told.facts["enabled"]
    assert told.facts["whole"]
    assert sorted(names(standin.events)) == (
        ["purchase", "revenueEvent"] + ["vwo_variationShown"] * 2
    )


# --- attach that raises ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mistake", "options"),
    [
        ("attach(client, shards='abc')", {"batch_event_data": {"request_time_interval": 600}}),
        ("attach(None)", {}),
    ],
)
def test_a_process_whose_attach_raised_ends_by_itself(mistake, options, application):
    """Neither the SDK's queue nor its polling keeps alive the process of which nobody caught it."""
    told = application(
        """
        import threading, vwo
        client = vwo.init(OPTIONS)
        timers = [t for t in threading.enumerate() if isinstance(t, threading.Timer)]
        tell(lasting=[not timer.daemon for timer in timers])
        try:
            exec("vwo_celery." + F["mistake"])
        except vwo_celery.errors.VwoCeleryError as exc:
            tell(error=type(exc).__name__)
        """,
        mistake=mistake,
        options=options,
    )

    assert told.facts["error"] in ("SettingsError", "SdkError")
    assert told.facts["lasting"] == [True] * (2 if options else 1)


def test_a_client_whose_attach_raised_goes_on_with_its_own_queue(application, standin):
    """Its own timer still sends what it holds."""
    application(
        """
        import vwo
        client = vwo.init(OPTIONS)
        client.track_event("purchase", USER)
        try:
            vwo_celery.attach(client, shards="abc")
        except vwo_celery.errors.SettingsError:
            client.track_event("revenueEvent", USER)
        own = client.batch_event_queue
        from vwo_celery.testing import wait_for
        wait_for(lambda: not own.batch_queue and not own.is_batch_processing)
        """,
        options={"batch_event_data": {"request_time_interval": 1}},
    )

    assert names(standin.events) == ["purchase", "revenueEvent"]


# --- one client per process ----------------------------------------------------------------------


SECOND_CLIENT = """
import vwo
first = vwo.init(OPTIONS)
vwo_celery.attach(first, redis_url=REDIS_URL)
second = vwo.init({**OPTIONS, "sdk_key": F["second_key"]})
"""


def test_a_second_client_with_another_key_is_reported(application):
    """A second client with another key is reported, keys masked: the SDK would mix up their events."""
    told = application(
        SECOND_CLIENT, "vwo_celery.attach(second, redis_url=REDIS_URL)\n", second_key=SECOND_KEY
    )

    assert "more than one VWO FME client in this process" in told.log
    assert "key …bbbb" in told.log
    assert "key …cccc" in told.log
    assert SECOND_KEY not in told.log


def test_a_second_client_with_another_key_is_an_error_with_strict(application):
    """With strict, a second client with another key is refused as a whole."""
    told = application(
        SECOND_CLIENT,
        """
        try:
            vwo_celery.attach(second, strict=True)
        except vwo_celery.errors.SdkError as exc:
            tell(error=str(exc), untouched=second.batch_event_queue is None)
        os._exit(0)
        """,
        second_key=SECOND_KEY,
    )

    assert "one process for each SDK key" in told.facts["error"]
    assert told.facts["untouched"]


@pytest.mark.declared_keys("open")
def test_a_second_client_that_nobody_attaches_is_reported_at_its_first_event(application):
    """An unattached second client is reported once, at its first event, which uses the first's queue."""
    told = application(
        SECOND_CLIENT,
        """
        second.track_event("purchase", USER)
        second.track_event("purchase", USER)
        os._exit(0)
        """,
        second_key=SECOND_KEY,
    )

    assert told.log.count("more than one VWO FME client in this process") == 1


def test_a_second_client_with_the_same_key_shares_the_queue(application, standin, worker):
    """A second client with the same key shares the queue: the SDK enqueues through its first client."""
    told = application(
        """
        import vwo
        first, second = vwo.init(OPTIONS), vwo.init(OPTIONS)
        vwo_celery.attach(second, redis_url=REDIS_URL)
        second.track_event("purchase", USER)
        first.track_event("revenueEvent", USER)
        tell(whole=bool(second.flush_events()))
        """,
        options={"batch_event_data": {"request_time_interval": 600}},
    )

    assert told.facts == {"whole": True}
    assert names(standin.events) == ["purchase", "revenueEvent"]
    assert "more than one" not in told.log


@pytest.mark.declared_keys("open")
def test_clients_that_follow_each_other_share_one_connection(application):
    """A process that inits again and again, as tests and reloaded settings do, opens one connection."""
    told = application(
        """
        from vwo_celery.producing.queue import producer_of
        redis_clients = []
        for _ in range(5):
            client = vwo_celery.init(OPTIONS, redis_url=REDIS_URL)
            client.track_event("purchase", USER)
            redis_clients.append(producer_of(vwo_celery.queue_of(client)).fleet.client)
        tell(different=len(set(map(id, redis_clients))))
        """
    )

    assert told.facts == {"different": 1}


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


# --- fork ----------------------------------------------------------------------------------------


def test_after_a_fork_parent_and_children_track_and_nothing_is_lost_or_doubled(
    application, standin, worker
):
    """As under gunicorn --preload: attached before the fork; used before it, in children and after it."""
    told = application(
        ATTACHED,
        """
        def track(who):
            for number in range(25):
                client.track_event("purchase", {"id": f"{who}-{number}"}, {"price": number})

        track("before")
        children = []
        for child in range(3):
            pid = os.fork()
            if pid == 0:
                track(f"child-{child}")
                os._exit(0)
            children.append(pid)
        track("parent")
        codes = [os.waitpid(pid, 0)[1] for pid in children]
        tell(codes=codes, whole=bool(client.flush_events()))
        """,
    )

    assert told.facts == {"codes": [0, 0, 0], "whole": True}
    assert [len(batch.events) for batch in standin.batches] == [100, 25]
    visitors = [json.dumps([event["d"]["visId"], event["d"]["event"]["props"]["price"]])
                for event in standin.events]  # fmt: skip
    assert len(visitors) == 125
    assert len(set(visitors)) == 125
