"""vwo_celery.init and the builder: an FME client that starts on the shared queue."""

from __future__ import annotations

import pytest

from sdk.fme.attached import names

pytestmark = pytest.mark.declared_keys("watched")

EVERY_INIT_EVENT = {"sdkMetaInfo": {}, "usageStatsAccountId": 777}


def test_init_events_go_through_the_queue(application, settings, standin, worker):
    """The SDK's first two events, sent while it initialises, go through the queue."""
    settings.update(EVERY_INIT_EVENT)

    told = application(
        """
        client = vwo_celery.init(OPTIONS, redis_url=REDIS_URL)
        tell(whole=bool(client.flush_events()))
        """
    )

    assert told.facts == {"whole": True}
    assert names(standin.events) == ["vwo_fmeSdkInit", "vwo_sdkUsageStats"]
    assert [request.path for request in standin.requests if request.method == "POST"] == [
        "/server-side/batch-events-v2"
    ]


def test_the_usage_event_shows_the_applications_options_and_no_builder(
    application, settings, standin, worker
):
    """VWO receives the options that the application configured, as if the SDK had batched by itself."""
    settings.update(EVERY_INIT_EVENT)

    application(
        """
        options = {**OPTIONS, "batch_event_data": {"events_per_request": 9, "flush_callback": print}}
        client = vwo_celery.init(options, redis_url=REDIS_URL)
        client.flush_events()
        """
    )

    config = standin.events[1]["d"]["event"]["props"]["data"]["initConfig"]
    assert list(config) == [
        "sdk_key", "account_id", "proxy_url", "batch_event_data", "is_via_vwo", "poll_interval",
    ]  # fmt: skip
    assert config["batch_event_data"]["events_per_request"] == 9


def test_a_builder_of_the_applications_own_can_carry_the_queue(
    application, settings, standin, worker
):
    """BuilderMixin works with the SDK's own init and a subclass of the SDK's builder."""
    settings.update(EVERY_INIT_EVENT)

    told = application(
        """
        from functools import partial
        import vwo
        from vwo.vwo_builder import VWOBuilder
        from vwo_celery.sdk import BuilderMixin

        class Builder(BuilderMixin, VWOBuilder):
            def set_logger(self):
                tell(own=True)
                return super().set_logger()

        builder = Builder(OPTIONS, open_queue=partial(vwo_celery.connect, redis_url=REDIS_URL))
        client = vwo.init({**OPTIONS, "vwoBuilder": builder})
        tell(same=vwo_celery.queue_of(client) is builder.queue)
        client.flush_events()
        """
    )

    assert told.facts == {"own": True, "same": True}
    assert names(standin.events) == ["vwo_fmeSdkInit", "vwo_sdkUsageStats"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, [100, 600.0]),
        ({}, [100, 600.0]),
        ({"events_per_request": 5}, [5, 600.0]),
        ({"request_time_interval": 2}, [100, 2.0]),
        ({"EventsPerRequest": 6, "RequestTimeInterval": 3}, [6, 3.0]),
    ],
)
def test_batch_options_of_init_are_the_queues(given, expected, application):
    """init reads the batch options as the SDK does, and also the spellings of the other SDKs."""
    told = application(
        """
        batch = vwo_celery.queue_of(vwo_celery.init(OPTIONS)).batch
        tell(batch=[batch.events_per_request, batch.request_time_interval])
        """,
        options={"batch_event_data": given},
    )

    assert told.facts == {"batch": expected}


@pytest.mark.declared_keys("open")
def test_a_process_that_initialised_and_tracked_ends_by_itself(application, worker):
    """Polling runs in a daemon thread, with an interval from the settings or from the options."""
    for options in ({}, {"poll_interval": 60_000}):
        told = application(
            """
            import threading
            client = vwo_celery.init(OPTIONS, redis_url=REDIS_URL)
            client.track_event("purchase", USER)
            timers = [t for t in threading.enumerate() if isinstance(t, threading.Timer)]
            tell(timers=len(timers), daemons=all(timer.daemon for timer in timers))
            """,
            options=options,
        )

        assert told.facts == {"timers": 1, "daemons": True}


def test_settings_that_cannot_be_fetched_leave_the_application_a_client(application, settings):
    """Without settings the app starts with every flag off, as with vwo.init; strict raises."""
    settings.clear()

    told = application(
        """
        client = vwo_celery.init(OPTIONS)
        tell(enabled=client.get_flag("checkout", USER).is_enabled())
        try:
            vwo_celery.queue_of(client)
        except vwo_celery.errors.SdkError as exc:
            tell(attached=str(exc))
        try:
            vwo_celery.init(OPTIONS, strict=True)
        except vwo_celery.errors.SdkError as exc:
            tell(strict=str(exc))

        """
    )

    assert told.facts["enabled"] is False
    assert "no shared queue" in told.facts["attached"]
    assert "could not fetch them" in told.log
    assert "could not fetch them" in told.facts["strict"]


# --- init that raises -----------------------------------------------------------------------------


#: Options of init that differ, or no options; further arguments; a part of the error.
MISTAKES = [
    ({"gateway_service": {"url": "http://127.0.0.1:1"}}, {}, "gateway_service"),
    ({"vwoBuilder": "a builder"}, {}, "BuilderMixin"),
    ({"sdk_key": ""}, {}, "needs the option sdk_key"),
    ({"account_id": None}, {}, "needs the option account_id"),
    (None, {}, "init takes the options of vwo.init"),
    ({"account_id": "888888\n"}, {}, "account_id"),
    ({}, {"redis_urll": "redis://localhost"}, "redis_urll"),
    ({}, {"redis_url": "localhost"}, "redis_url"),
    ({}, {"shards": "abc"}, "shards"),
    ({}, {"redis": "redis://localhost"}, "redis"),
    ({}, {"base_url": "localhost"}, "base_url"),
    ({}, {"brand": "vw0"}, "brand"),
    ({"batch_event_data": {"events_per_request": 0}}, {"strict": True}, "events_per_request"),
]


def test_errors_come_before_the_sdk_starts(application, standin):
    """Each names what is wrong; nothing was fetched or started, so the process ends."""
    told = application(
        """
        errors = []
        for changed, arguments, said in F["mistakes"]:
            options = None if changed is None else {**OPTIONS, **changed}
            try:
                vwo_celery.init(options, **arguments)
            except vwo_celery.errors.VwoCeleryError as exc:
                errors.append(str(exc))
        tell(errors=errors)
        """,
        options={"batch_event_data": {"request_time_interval": 600}},
        mistakes=MISTAKES,
    )

    for (_, _, said), error in zip(MISTAKES, told.facts["errors"], strict=True):
        assert said in error
    assert standin.requests == []


def test_an_error_in_the_environment_comes_before_the_sdk_starts(application, standin, monkeypatch):
    """Settings of the environment are read before the SDK starts, too."""
    monkeypatch.setenv("VWO_CELERY_SHARDS", "abc")

    told = application(
        """
        try:
            vwo_celery.init(OPTIONS)
        except vwo_celery.errors.SettingsError as exc:
            tell(error=str(exc))
        """
    )

    assert "VWO_CELERY_SHARDS" in told.facts["error"]
    assert standin.requests == []


@pytest.mark.parametrize("poll_interval", [None, 60_000])
def test_an_error_after_the_sdk_has_started_leaves_no_thread(
    poll_interval, application, settings, standin
):
    """No queue, timer or polling of the refused client runs, and no event of its init is sent."""
    settings.update(EVERY_INIT_EVENT)

    told = application(
        REFUSED,
        """
        import threading
        tell(threads=threading.active_count())
        """,
        options={"poll_interval": poll_interval, "batch_event_data": {"events_per_request": 5}},
    )

    assert told.facts == {"error": "refused on purpose", "threads": 1}
    assert [request.method for request in standin.requests] == ["GET"]


REFUSED = """
from vwo_celery.sdk import fme
def refuse(*arguments, **keywords):
    raise vwo_celery.errors.SdkError("refused on purpose")
destination_of, fme.destination_of = fme.destination_of, refuse
try:
    vwo_celery.init(OPTIONS)
except vwo_celery.errors.SdkError as exc:
    tell(error=str(exc))
fme.destination_of = destination_of
"""


def test_vwo_init_after_it_has_events_that_arrive(application, standin):
    """The SDK keeps its first client for the events of all: a refused one is not kept."""
    application(
        REFUSED,
        """
        import vwo
        client = vwo.init(OPTIONS)
        for _ in range(3):
            client.track_event("purchase", USER)
        client.flush_events()
        from vwo_celery.testing import wait_for
        wait_for(lambda: not client.batch_event_queue.is_batch_processing)
        os._exit(0)
        """,
        options={"batch_event_data": {"request_time_interval": 600}},
    )

    assert names(standin.events) == ["purchase"] * 3


def test_a_second_key_is_refused_before_the_sdk_takes_it_for_the_first(
    application, standin, worker
):
    """With strict, an init with another key raises, and the first client's events stay its own."""
    told = application(
        """
        client = vwo_celery.init(OPTIONS, redis_url=REDIS_URL)
        try:
            vwo_celery.init({**OPTIONS, "sdk_key": "c" * 32}, redis_url=REDIS_URL, strict=True)
        except vwo_celery.errors.SdkError as exc:
            tell(error=str(exc))
        client.track_event("purchase", USER)
        tell(whole=bool(client.flush_events()))
        """
    )

    assert "more than one VWO FME client" in told.facts["error"]
    assert told.facts["whole"]
    assert [event["d"]["event"]["props"]["vwo_envKey"] for event in standin.events] == ["b" * 32]
    assert [request.method for request in standin.requests] == ["GET", "POST"]


# --- a builder that cannot attach -----------------------------------------------------------------


def test_an_error_in_attaching_never_costs_the_application_its_client(application, standin):
    """If the builder's queue cannot be opened, the SDK keeps its own queue, and a log message says so."""
    told = application(
        """
        import vwo
        from vwo_celery.sdk import builder
        def broken(*arguments, **keywords):
            raise RuntimeError("broken on purpose")
        made = builder(OPTIONS, open_queue=broken)
        client = vwo.init({**OPTIONS, "vwoBuilder": made})
        tell(queue=type(client.batch_event_queue).__name__, failure=str(made.failure))
        os._exit(0)
        """,
        options={"batch_event_data": {"events_per_request": 5}},
    )

    assert told.facts == {"queue": "BatchEventQueue", "failure": "broken on purpose"}
    assert "not on the shared queue" in told.log


def test_a_client_that_could_not_be_attached_sends_its_events_by_itself(application, standin):
    """The SDK's own queue, which such a client keeps, works as without this package."""
    application(
        """
        import vwo
        from vwo_celery.sdk import builder
        def broken(*arguments, **keywords):
            raise RuntimeError("broken on purpose")
        client = vwo.init({**OPTIONS, "vwoBuilder": builder(OPTIONS, open_queue=broken)})
        for _ in range(3):
            client.track_event("purchase", USER)
        from vwo_celery.testing import wait_for
        wait_for(lambda: not client.batch_event_queue.is_batch_processing)
        os._exit(0)
        """,
        options={"batch_event_data": {"events_per_request": 3}},
    )

    assert names(standin.events) == ["purchase"] * 3
